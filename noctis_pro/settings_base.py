"""Settings of every site: applications, backing services, storage, logging.

Backing services differ by configuration alone: the same code runs on SQLite with in-process
substitutes and on PostgreSQL, Redis and Celery.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import dj_database_url

from noctis_pro import config
from noctis_pro.variables import ConfigError

try:
    CONFIG = config.current()
except ConfigError as error:
    # Every process reads its settings first: one line with the variable's name, no traceback.
    sys.exit(f"NoctisPro cannot start: {error}")
BASE_DIR = config.PROJECT_DIR

for _directory in (CONFIG.data_dir, CONFIG.log_dir, CONFIG.cache_dir):
    _directory.mkdir(parents=True, exist_ok=True)

INSTALLED_APPS = [
    # Its only part is an ASGI `runserver`; everywhere else it costs half a second and 20 MB.
    *(["daphne"] if "runserver" in sys.argv else []),
    # Without looking for every `admin` module: `noctis_pro.urls` does, in processes with pages.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_vite",
    "accounts",
    "worklist",
    "archive",
    "orders",
    "reports",
    "radiology",
    "dicom_viewer",
    "notifications",
]

MIDDLEWARE = [
    "noctis_pro.middleware.RequestIds",
    "django.middleware.security.SecurityMiddleware",
    # Before whatever may answer by itself: static files, a refused host.
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "noctis_pro.middleware.BorrowedConnection",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "accounts.sessions.IdleSessions",
    "noctis_pro.middleware.PageLanguage",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "noctis_pro.identity.ProgramIdentity",
    "django.contrib.messages.middleware.MessageMiddleware",
    "noctis_pro.middleware.ErrorAnswers",
]

ROOT_URLCONF = "noctis_pro.urls"
ASGI_APPLICATION = "noctis_pro.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["django.templatetags.i18n"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "noctis_pro.context.site",
            ],
        },
    }
]

# Databases -------------------------------------------------------------------------------------

# A sender gets its "try again later" within 10 s.
DATABASE_WAIT_S = 8
_database: dict[str, Any] = dict(dj_database_url.parse(CONFIG.database_url))
if _database["ENGINE"].endswith("sqlite3"):
    _database["OPTIONS"] = {
        # Several processes share the file: readers never wait (WAL), writers queue up front
        # (IMMEDIATE) instead of failing in the middle, and a commit is on disk when it returns.
        "transaction_mode": "IMMEDIATE",
        "timeout": DATABASE_WAIT_S,
        "init_command": (
            "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;"
            "PRAGMA cache_size=-16000;PRAGMA mmap_size=268435456;"
            # 16 MB: who commits copies the log into the database four times less often, and pages
            # that many instances change once instead of four times.
            "PRAGMA wal_autocheckpoint=4000;"
        ),
    }
else:
    # As above: a server that is down or unreachable is an error within 10 s.
    _limits = {"connect_timeout": 5, "tcp_user_timeout": 8000}
    _database["OPTIONS"] = _limits | _database.get("OPTIONS", {})
    _database["CONN_MAX_AGE"] = 60
    _database["CONN_HEALTH_CHECKS"] = True
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "worklist:study-list"
LOGOUT_REDIRECT_URL = "accounts:login"

# Cache, broker ---------------------------------------------------------------------------------

if CONFIG.redis_url:
    CACHES: dict[str, Any] = {
        "default": {
            "BACKEND": "noctis_pro.cache.RedisOrMemoryCache",
            "LOCATION": CONFIG.redis_url,
            "KEY_PREFIX": "noctis",
            "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
        }
    }
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            # Counts of failed sign-ins are in it: with Django's 300 a third of them would be
            # dropped as soon as somebody tries some hundred names.
            "OPTIONS": {"MAX_ENTRIES": 50_000},
        }
    }

REDIS_URL = CONFIG.redis_url
CELERY_BROKER_URL = CONFIG.celery_broker_url

# Language, time --------------------------------------------------------------------------------

# The browser's own language until somebody chooses one; docs/adr/0103.
LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("es", "Español"),
    ("sw", "Kiswahili"),
]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_NAME = "noctis_language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# Static files: Vite names its files by their content; nothing is hashed a second time. ----------

STATIC_URL = "/static/"
STATIC_ROOT = CONFIG.data_dir / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_MAX_AGE = 3600
DJANGO_VITE = {
    "default": {
        "static_url_prefix": "dist",
        "manifest_path": BASE_DIR / "static" / "dist" / ".vite" / "manifest.json",
    }
}


_OHIF_PART = re.compile(r"/ohif/(?:.+\.bundle\.[0-9a-f]{16}\.js|[0-9a-f]{16}\.\w+)$")


def SERVESTATIC_IMMUTABLE_FILE_TEST(path: str, url: str) -> bool:  # noqa: N802 - the library's name
    """Vite's own output and OHIF's carry their hash in the name."""
    return "/dist/assets/" in url or bool(_OHIF_PART.search(url))


def SERVESTATIC_ADD_HEADERS_FUNCTION(headers: Any, path: str, url: str) -> None:  # noqa: ANN401, N802
    """Give static files a policy: a drawing that is opened by itself runs nothing.

    A worker has the policy of its script, so scripts are bound in what does not concern them alone;
    the page that loads them has the site's.
    """
    is_script = url.endswith((".js", ".mjs"))
    headers["Content-Security-Policy"] = (
        "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
        if is_script
        else "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
    )


# So long the check of a site's health waits for its worker.
HEALTH_WORK_TIMEOUT_S = 20

# DICOM -----------------------------------------------------------------------------------------

DATA_DIR = CONFIG.data_dir
MEDIA_ROOT = CONFIG.data_dir / "media"
DICOM_ROOT = CONFIG.dicom_root
DICOM_SPOOL_DIR = CONFIG.spool_dir
DICOM_SCP_HOST = CONFIG.dicom_host
DICOM_SCP_PORT = CONFIG.dicom_port
DICOM_SCP_AE_TITLE = CONFIG.dicom_aet
DICOM_SCU_AE_TITLE = CONFIG.dicom_scu_aet
DICOM_TLS = CONFIG.dicom_tls
MWL = CONFIG.mwl
DICOM_FAST_PATH = CONFIG.dicom_fast_path
# The function that sends a C-ECHO: the archive's job calls it without importing what stands above.
DICOM_SCU_ECHO = "dimse.scu.echo"
# Likewise: those that tell others about storage commitment and availability.
DICOM_SCU_COMMITMENT = "dimse.reports.tell_commitment"
DICOM_SCU_AVAILABILITY = "dimse.reports.tell_availability"
# How long a commitment request's own association is kept for its report.
COMMITMENT_SAME_ASSOCIATION_S = 3
# A study to which nothing was added for this long is taken to be whole.
STUDY_QUIET_AFTER_S = 60
DICOM_SCU_SEND = "dimse.scu.send"
# Rules are asked when no image of a study has come for this long.
FORWARD_WHEN_QUIET_S = 30
CACHE_DIR = CONFIG.cache_dir
DEFAULT_FACILITY_CODE = CONFIG.default_facility_code
RADIOLOGY_STORAGE = CONFIG.radiology_storage
OBJECT_STORE = CONFIG.object_store
OHIF_VIEWER_URL = CONFIG.ohif_viewer_url
ORTHANC_URL = CONFIG.orthanc_url
ORTHANC_MIRROR = CONFIG.orthanc_mirror
RADIOLOGY_SIGNED_URLS = CONFIG.signed_urls
SIGNED_URL_TTL_S = CONFIG.signed_url_ttl_s
# Where programs elsewhere reach this site, and in which networks they may be asked.
SITE_URL = CONFIG.site_url
ANALYSIS_NETWORKS = CONFIG.analysis_networks

# First start ------------------------------------------------------------------------------------

FIRST_ADMIN_USER = CONFIG.admin_user
FIRST_ADMIN_PASSWORD = CONFIG.admin_password
LOAD_DEMO = CONFIG.demo

# DIMSE: associations at once, and how long a caller may be silent.
DIMSE_MAX_ASSOCIATIONS = 128
DIMSE_RESERVED_ASSOCIATIONS = 16  # the last places, for AE titles that have no association yet
DIMSE_MAX_ASSOCIATIONS_PER_ADDRESS = 96
DIMSE_MAX_ASSOCIATIONS_PER_AE = 48
DIMSE_MAX_PENDING_CONNECTIONS = 256
DIMSE_REQUEST_TIMEOUT_S = 5
DIMSE_PDU_TIMEOUT_S = 15
DIMSE_IDLE_TIMEOUT_S = 30
DIMSE_PDU_BYTES = 128 * 1024

# What the receiver has in its journal is made durable in its own place when nothing has come for so
# long (docs/adr/0027).
JOURNAL_IDLE_S = 1.0

# Limits: what one sender may ask of the machine.
MAX_INSTANCE_BYTES = 4 * 1024**3
# How long a deleted study can be restored, and a file that no row names is kept aside.
DELETION_RETENTION_DAYS = 30
STRAY_RETENTION_DAYS = 30
# How long a work item that has ended can still be looked at, unless a deletion lock keeps it.
WORKITEM_RETENTION_DAYS = 90
# Everything stored is read and compared with its digest this often, no faster than this.
SCRUB_EVERY_DAYS = 30
SCRUB_BYTES_PER_S = 16 * 1024**2
MAX_ARCHIVE_MEMBERS = 20_000
# Resumable uploads: how long an unfinished one waits, and how many one person may have.
RESUMABLE_RETENTION_HOURS = 24
MOST_RESUMABLE_UPLOADS = 500
MAX_ARCHIVE_RATIO = 200
MAX_ARCHIVE_BYTES = 16 * 1024**3
# Samples of one frame, 8192 x 8192 grey: it takes some 300 MB to decode and draw at once.
MAX_FRAME_PIXELS = CONFIG.max_frame_pixels
DECODE_TIMEOUT_S = 30
# Of address space: a decoder's libraries, and the largest frame in its quick decoders.
DECODE_MEMORY_BYTES = 1024**3 + 20 * MAX_FRAME_PIXELS
# Videos are looked into by Debian's ffmpeg, where it is installed: what one run may take.
FFMPEG_PATH = ""  # folders, as in PATH; empty: the system's
VIDEO_MEMORY_BYTES = 2 * 1024**3
VIDEO_MOST_BYTES = 6 * 1024**3
VIDEO_FRAME_TIMEOUT_S = 60
VIDEO_TIMEOUT_S = 1800
FRAME_MEMORY_CACHE_BYTES = 192 * 1024**2
FRAME_DISK_CACHE_BYTES = 10 * 1024**3
FRAMES_IN_REDIS = CONFIG.frames_in_redis
METERS_DIR = CACHE_DIR / "meters"
# Of one person; pictures that are in memory are not counted.
API_REQUESTS_PER_MINUTE = 60_000
# Of one address, with a token, session or password that is wrong.
API_REFUSALS_PER_MINUTE = 600
# Matches of one QIDO-RS search; past this the caller must narrow it or page through it.
DICOMWEB_MOST_RESULTS = 10_000
# A body of which nothing comes for so long is given up.
HTTP_BODY_TIMEOUT_S = 60
# Files and archives on their way to one address at the same time; the others wait their turn.
DICOMWEB_STREAMS_AT_ONCE = 16
# A caller that takes nothing of an answer for so long is left.
DICOMWEB_SEND_TIMEOUT_S = 60
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024**2
DATA_UPLOAD_MAX_NUMBER_FILES = 2000
# A request body beyond this waits in a file; 0 would mean "never" to Python's SpooledTemporaryFile.
FILE_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

# Care: what the worker watches and does by the clock (archive.watch, archive.chores). -----------

BACKUP_DIR = CONFIG.care.backup_dir
BACKUP_AT = CONFIG.care.backup_at
BACKUP_KEEP = CONFIG.care.backup_keep
DRILL_EVERY_DAYS = CONFIG.care.drill_every_days
DRILL_DATABASE_URL = CONFIG.care.drill_database_url
DISK_ALERT_DAYS = CONFIG.care.disk_alert_days
DISK_ALERT_PERCENT = CONFIG.care.disk_alert_percent
WATCHED_CERTIFICATES = CONFIG.care.certificates

# Where audit messages go (archive.audit_shipping).
AUDIT_SYSLOG = CONFIG.audit_syslog.url
AUDIT_SYSLOG_CA = CONFIG.audit_syslog.ca
AUDIT_SYSLOG_CERT = CONFIG.audit_syslog.cert
AUDIT_SYSLOG_KEY = CONFIG.audit_syslog.key

# Mail: alerts alone are mailed, and only where a server is named.
EMAIL_HOST = CONFIG.mail.host
EMAIL_PORT = CONFIG.mail.port
EMAIL_HOST_USER = CONFIG.mail.user
EMAIL_HOST_PASSWORD = CONFIG.mail.password
EMAIL_USE_TLS = CONFIG.mail.use_tls
EMAIL_USE_SSL = CONFIG.mail.use_ssl
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = CONFIG.mail.sender
ALERT_MAIL_TO = list(CONFIG.mail.alerts_to)

# Logging: ids, never names of patients, above DEBUG. --------------------------------------------

LOG_FILE = "noctis_pro.log"
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "noctis_pro.logs.EscapingFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
        },
        "json": {"()": "noctis_pro.logs.JsonFormatter"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": CONFIG.log_format},
        "file": {
            "class": "noctis_pro.logs.LogFile",
            "filename": str(CONFIG.log_dir / LOG_FILE),
            "formatter": CONFIG.log_format,
            "delay": True,
        },
    },
    "root": {"handlers": ["console", "file"], "level": CONFIG.log_level},
    "loggers": {
        # pynetdicom logs every PDU at INFO and DEBUG; names of patients stand in them.
        "pynetdicom": {"level": "WARNING"},
        "pydicom": {"level": "ERROR"},
        "daphne": {"level": "WARNING"},
        "django.channels.server": {"level": "WARNING"},
    },
}
if CONFIG.log_format == "json":
    # uvicorn has handlers of its own, for people; its line of each request holds addresses.
    LOGGING["loggers"] |= {
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.error": {"handlers": [], "propagate": True},
        "uvicorn.access": {"handlers": [], "propagate": True, "level": "WARNING"},
    }
