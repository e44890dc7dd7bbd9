"""Addresses of the site; the sidecar's routes are joined in `noctis_pro.asgi`."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from accounts import views as account_views
from dicom_viewer import ohif
from noctis_pro import health_views

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="worklist:study-list"), name="home"),
    # Asked for by browsers and programs that show something else than our pages.
    path("favicon.ico", RedirectView.as_view(url=static("images/mark.svg")), name="favicon"),
    path("accounts/", include("accounts.urls")),
    path("worklist/", include("worklist.urls")),
    path("offline/", include("worklist.urls_offline")),
    path("orders/", include("orders.urls")),
    path("tasks/", include("orders.task_urls")),
    path("viewer/", include("dicom_viewer.urls")),
    path("shared/", include("dicom_viewer.sharing_urls")),
    path("ohif/", ohif.page, name="ohif-home"),
    path("ohif/<path:path>", ohif.page, name="ohif"),
    path("fhir/", include("worklist.urls_fhir")),
    path("notifications/", include("notifications.urls")),
    path("admin/login/", account_views.administration_sign_in),
    path("admin/", admin.site.urls),
    path("health/live", health_views.live, name="health-live"),
    path("health/ready", health_views.ready, name="health-ready"),
    path("metrics", health_views.metrics, name="metrics"),
]

handler400 = "noctis_pro.middleware.bad_request"
handler403 = "noctis_pro.middleware.forbidden"
handler404 = "noctis_pro.middleware.not_found"
handler500 = "noctis_pro.middleware.server_error"
