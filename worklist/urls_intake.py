"""Addresses of intake and administration: upload, facilities, refused callers, forwarding."""

from django.urls import path

from worklist.views import analyses, analysis_programs, facilities, forwarding, knocks, upload

urlpatterns = [
    path("upload/", upload.upload_page, name="upload"),
    path("api/upload/", upload.upload_file, name="upload-file"),
    path("api/upload/<uuid:upload_id>/", upload.upload_result, name="upload-result"),
    path("facilities/", facilities.facility_list, name="facility-list"),
    path("facilities/<uuid:facility_id>/", facilities.facility_detail, name="facility-detail"),
    path("facilities/<uuid:facility_id>/sheet/", facilities.facility_sheet, name="facility-sheet"),
    path(
        "facilities/<uuid:facility_id>/change/", facilities.change_facility, name="facility-change"
    ),
    path("facilities/<uuid:facility_id>/ae-titles/", facilities.add_ae_title, name="ae-title-add"),
    path(
        "facilities/<uuid:facility_id>/ae-titles/<uuid:entry_id>/remove/",
        facilities.remove_ae_title,
        name="ae-title-remove",
    ),
    path(
        "facilities/<uuid:facility_id>/ae-titles/<uuid:entry_id>/certificate/",
        facilities.bind_certificate,
        name="certificate-bind",
    ),
    path("facilities/<uuid:facility_id>/members/", facilities.add_member, name="member-add"),
    path(
        "facilities/<uuid:facility_id>/members/<uuid:user_id>/remove/",
        facilities.remove_member,
        name="member-remove",
    ),
    path(
        "facilities/<uuid:facility_id>/destinations/",
        facilities.add_destination,
        name="destination-add",
    ),
    path(
        "facilities/<uuid:facility_id>/destinations/<uuid:destination_id>/remove/",
        facilities.remove_destination,
        name="destination-remove",
    ),
    path("api/facilities/<uuid:facility_id>/live/", facilities.facility_live, name="facility-live"),
    path(
        "api/destinations/<uuid:destination_id>/echo/",
        facilities.destination_echo,
        name="destination-echo",
    ),
    path("knocks/", knocks.knock_list, name="knock-list"),
    path("knocks/<uuid:knock_id>/admit/", knocks.admit_knock, name="knock-admit"),
    path("knocks/<uuid:knock_id>/dismiss/", knocks.dismiss_knock, name="knock-dismiss"),
    path("api/knocks/rows/", knocks.knock_rows, name="knock-rows"),
    path("forwarding/", forwarding.queue_page, name="forwarding-queue"),
    path("forwarding/rules/", forwarding.rule_page, name="forwarding-rules"),
    path("forwarding/rules/<uuid:rule_id>/", forwarding.change_rule, name="forwarding-rule"),
    path("forwarding/<uuid:entry_id>/retry/", forwarding.retry_entry, name="forwarding-retry"),
    path("forwarding/<uuid:entry_id>/cancel/", forwarding.cancel_entry, name="forwarding-cancel"),
    path("analyses/", analyses.queue_page, name="analysis-queue"),
    path("analyses/services/", analyses.service_page, name="analysis-services"),
    path("analyses/services/<uuid:service_id>/", analyses.change_service, name="analysis-service"),
    path("analyses/programs/", analysis_programs.add_program, name="analysis-programs"),
    path(
        "analyses/programs/<uuid:program_id>/",
        analysis_programs.change_program,
        name="analysis-program",
    ),
    path("analyses/<uuid:run_id>/cancel/", analyses.cancel, name="analysis-cancel"),
    path("analyses/<uuid:run_id>/retry/", analyses.retry, name="analysis-retry"),
    path("studies/<uuid:study_id>/findings/", analyses.finding_page, name="finding-list"),
    path("findings/<uuid:finding_id>/decide/", analyses.decide, name="finding-decide"),
    path("api/studies/destinations/", forwarding.find_choices, name="study-destinations"),
    path("api/studies/send/", forwarding.send_studies, name="studies-send"),
    path("studies/<uuid:study_id>/send/", forwarding.send_study, name="study-send"),
]
