"""Addresses of the orders' pages."""

from django.urls import path

from orders import views

app_name = "orders"

urlpatterns = [
    path("", views.order_list, name="order-list"),
    path("new/", views.order_new, name="order-new"),
    path("<uuid:order_id>/", views.order_detail, name="order-detail"),
    path("<uuid:order_id>/cancel/", views.order_cancel, name="order-cancel"),
    path("matches/<uuid:match_id>/", views.match_decide, name="match-decide"),
]
