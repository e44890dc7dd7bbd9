"""Addresses of the tasks' page."""

from django.urls import path

from orders import task_views

app_name = "tasks"

urlpatterns = [
    path("", task_views.task_list, name="task-list"),
    path("<uuid:item_id>/claim/", task_views.task_claim, name="task-claim"),
    path("<uuid:item_id>/progress/", task_views.task_progress, name="task-progress"),
    path("<uuid:item_id>/complete/", task_views.task_complete, name="task-complete"),
    path("<uuid:item_id>/cancel/", task_views.task_cancel, name="task-cancel"),
]
