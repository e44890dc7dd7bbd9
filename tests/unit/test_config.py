"""Every environment variable: its default, its aliases, and the words with which it is refused."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from noctis_pro import config
from noctis_pro.config import load
from noctis_pro.variables import ConfigError

VAR = config.PROJECT_DIR / "var"

DEFAULTS = {
    "data_dir": VAR,
    "demo": False,
    "admin_user": "admin",
    "admin_password": "",
    "web_host": "127.0.0.1",
    "web_port": 8000,
    "sidecar_port": 8001,
    "sidecar_workers": os.cpu_count() or 1,
    "dicom_port": 11112,
    "dicom_aet": "NOCTIS_SCP",
    "dicom_scu_aet": "NOCTIS_SCU",
    "dicom_host": "0.0.0.0",  # noqa: S104 - the documented default
    "dicom_tls": None,
    "dicom_fast_path": True,
    "mwl": None,
    "dicom_root": VAR / "media" / "dicom",
    "database_url": f"sqlite:///{VAR / 'noctis.sqlite3'}",
    "redis_url": "",
    "frames_in_redis": False,
    "celery_broker_url": "",
    "radiology_storage": "filesystem",
    "ohif_viewer_url": "",
    "orthanc_url": "",
    "orthanc_mirror": False,
    "signed_urls": True,
    "signed_url_ttl_s": 3600,
    "site_url": "http://127.0.0.1:8000",
    "analysis_networks": (),
    "max_frame_pixels": 67108864,
    "secret_key": "",
    "signing_key": "",
    "second_factor": "optional",
    "idle_minutes": 60,
    "debug": False,
    "allowed_hosts": ("localhost", "127.0.0.1", "[::1]"),
    "embed_origins": (),
    "csrf_trusted_origins": (),
    "dicomweb_cors_origins": (),
    "secure_ssl_redirect": False,
    "log_level": "INFO",
    "log_format": "line",
    "default_facility_code": "LOCAL",
}


@pytest.mark.parametrize("field", DEFAULTS)
def test_default(field: str) -> None:
    assert getattr(load({}), field) == DEFAULTS[field]


def test_no_field_goes_untested() -> None:
    fields = set(config.Config.__dataclass_fields__)
    assert fields == {*DEFAULTS, "object_store", "mail", "care", "audit_syslog"}


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("NOCTIS_DATA_DIR", "/srv/noctis", "data_dir", Path("/srv/noctis")),
        ("NOCTIS_DATA_DIR", "elsewhere", "data_dir", config.PROJECT_DIR / "elsewhere"),
        ("NOCTIS_DATA_DIR", "~/noctis", "data_dir", Path.home() / "noctis"),
        ("NOCTIS_DEMO", "1", "demo", True),
        ("NOCTIS_ADMIN_USER", "ada", "admin_user", "ada"),
        ("NOCTIS_ADMIN_PASSWORD", "s3cret", "admin_password", "s3cret"),
        ("NOCTIS_WEB_HOST", "10.0.0.5", "web_host", "10.0.0.5"),
        ("NOCTIS_WEB_PORT", "8080", "web_port", 8080),
        ("NOCTIS_SIDECAR_PORT", "8081", "sidecar_port", 8081),
        ("NOCTIS_SIDECAR_WORKERS", "3", "sidecar_workers", 3),
        ("DICOM_PORT", "104", "dicom_port", 104),
        ("PACS_PORT", "105", "dicom_port", 105),
        ("DICOM_SCP_PORT", "106", "dicom_port", 106),
        ("DICOM_AET", "ARCHIVE", "dicom_aet", "ARCHIVE"),
        ("PACS_AET", "ARCHIVE2", "dicom_aet", "ARCHIVE2"),
        ("DICOM_SCP_AE_TITLE", "ARCHIVE3", "dicom_aet", "ARCHIVE3"),
        ("DICOM_SCU_AE_TITLE", "SENDER", "dicom_scu_aet", "SENDER"),
        ("DICOM_FAST_PATH", "0", "dicom_fast_path", False),
        ("DICOM_SCP_HOST", "127.0.0.1", "dicom_host", "127.0.0.1"),
        ("MWL_PORT", "4242", "mwl", config.WorklistPort("NOCTIS_SCP", 4242)),
        ("DICOM_ROOT", "/data/dicom", "dicom_root", Path("/data/dicom")),
        ("PACS_STORAGE_PATH", "/data/pacs", "dicom_root", Path("/data/pacs")),
        ("DATABASE_URL", "postgres://u:p@db/noctis", "database_url", "postgres://u:p@db/noctis"),
        ("PACS_DB_PATH", "/data/p.db", "database_url", "sqlite:////data/p.db"),
        ("REDIS_URL", "redis://cache:6379/0", "redis_url", "redis://cache:6379/0"),
        ("REDIS_URL", "redis://cache:6379/0", "celery_broker_url", "redis://cache:6379/0"),
        ("CELERY_BROKER_URL", "amqp://mq//", "celery_broker_url", "amqp://mq//"),
        ("RADIOLOGY_STORAGE", "filesystem", "radiology_storage", "filesystem"),
        ("OHIF_VIEWER_URL", "http://h:3001/viewer", "ohif_viewer_url", "http://h:3001/viewer"),
        ("ORTHANC_URL", "http://orthanc:8042", "orthanc_url", "http://orthanc:8042"),
        ("ORTHANC_MIRROR", "1", "orthanc_mirror", True),
        ("RADIOLOGY_SIGNED_URLS", "0", "signed_urls", False),
        ("SIGNED_URL_TTL", "60", "signed_url_ttl_s", 60),
        ("NOCTIS_SITE_URL", "https://pacs.example.org/", "site_url", "https://pacs.example.org"),
        (
            "NOCTIS_ANALYSIS_NETWORKS",
            "10.1.0.0/16, ::1/128",
            "analysis_networks",
            (ip_network("10.1.0.0/16"), ip_network("::1/128")),
        ),
        ("NOCTIS_MAX_FRAME_PIXELS", "134217728", "max_frame_pixels", 134217728),
        ("SECRET_KEY", "k" * 50, "secret_key", "k" * 50),
        ("NOCTIS_IDLE_MINUTES", "15", "idle_minutes", 15),
        ("NOCTIS_SECOND_FACTOR", "Everybody", "second_factor", "everybody"),
        ("NOCTIS_SIGNING_KEY", "-----BEGIN", "signing_key", "-----BEGIN"),
        ("DEBUG", "true", "debug", True),
        ("ALLOWED_HOSTS", "a.example.org, b.example.org", "allowed_hosts",
         ("a.example.org", "b.example.org")),
        ("CSRF_TRUSTED_ORIGINS", "https://a.example.org", "csrf_trusted_origins",
         ("https://a.example.org",)),
        ("NOCTIS_EMBED_ORIGINS", "https://portal.example.org", "embed_origins",
         ("https://portal.example.org",)),
        ("DICOMWEB_CORS_ORIGINS", "https://v.example.org, http://localhost:3000",
         "dicomweb_cors_origins", ("https://v.example.org", "http://localhost:3000")),
        ("SECURE_SSL_REDIRECT", "yes", "secure_ssl_redirect", True),
        ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("NOCTIS_LOG_FORMAT", "JSON", "log_format", "json"),
        ("NOCTIS_DEFAULT_FACILITY", "HOME", "default_facility_code", "HOME"),
    ],
)  # fmt: skip
def test_value(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(load({name: value}), field) == expected


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("AWS_ACCESS_KEY_ID", "a", "access_key", "a"),
        ("MINIO_ACCESS_KEY", "b", "access_key", "b"),
        ("AWS_SECRET_ACCESS_KEY", "c", "secret_key", "c"),
        ("MINIO_SECRET_KEY", "d", "secret_key", "d"),
        ("AWS_STORAGE_BUCKET_NAME", "films", "bucket", "films"),
        ("AWS_S3_REGION_NAME", "eu-central-1", "region", "eu-central-1"),
        ("AWS_S3_ENDPOINT_URL", "http://s3:9000", "endpoint_url", "http://s3:9000"),
        ("MINIO_ENDPOINT_URL", "http://minio:9000", "endpoint_url", "http://minio:9000"),
        ("AWS_S3_ENDPOINT_URL", "s3:9000", "endpoint_url", "https://s3:9000"),
        ("AWS_S3_USE_SSL", "0", "use_ssl", False),
        ("AWS_S3_ADDRESSING_STYLE", "virtual", "addressing_style", "virtual"),
        ("AWS_S3_ENCRYPTION", "aws:kms", "encryption", "aws:kms"),
        ("AWS_S3_ENCRYPTION_KEY_ID", "k", "encryption_key_id", "k"),
        ("NOCTIS_OBJECT_CACHE_MB", "64", "cache_bytes", 64 * 2**20),
    ],
)
def test_object_store(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(load({name: value}).object_store, field) == expected


def test_object_store_defaults() -> None:
    store = load({}).object_store
    assert (store.region, store.bucket, store.use_ssl) == ("us-east-1", "radiology", True)
    assert (store.access_key, store.secret_key, store.endpoint_url) == ("", "", "")
    assert (store.addressing_style, store.encryption, store.encryption_key_id) == ("auto", "", "")
    assert store.cache_bytes == 20 * 2**30
    # A server of one's own seldom has a name for each bucket.
    own = load({"AWS_S3_ENDPOINT_URL": "minio:9000", "AWS_S3_USE_SSL": "0"}).object_store
    assert (own.endpoint_url, own.addressing_style) == ("http://minio:9000", "path")


@pytest.mark.parametrize("backend", config.S3_STORAGES)
def test_instances_in_a_bucket(backend: str) -> None:
    chosen = {"RADIOLOGY_STORAGE": backend, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert load(chosen).radiology_storage == backend
    with pytest.raises(ConfigError, match="AWS_SECRET_ACCESS_KEY"):
        load({"RADIOLOGY_STORAGE": backend, "AWS_ACCESS_KEY_ID": "a"})
    # A machine may have a role that needs no keys.
    assert load({"RADIOLOGY_STORAGE": backend}).object_store.access_key == ""


def test_mail_defaults() -> None:
    mail = load({}).mail
    assert (mail.host, mail.port, mail.alerts_to) == ("", 25, ())
    assert (mail.use_tls, mail.use_ssl, mail.sender) == (False, False, "noctispro@localhost")
    assert load({"EMAIL_USE_TLS": "1"}).mail.port == 587
    assert load({"EMAIL_USE_SSL": "1"}).mail.port == 465


def test_mail() -> None:
    mail = load(
        {
            "EMAIL_HOST": "smtp.example.org",
            "EMAIL_PORT": "2525",
            "EMAIL_HOST_USER": "pacs",
            "EMAIL_HOST_PASSWORD": "s3cret",
            "DEFAULT_FROM_EMAIL": "NoctisPro <pacs@example.org>",
            "NOCTIS_ALERT_MAIL": "it@example.org, night@example.org",
        }
    ).mail
    assert (mail.host, mail.port, mail.user, mail.password) == (
        "smtp.example.org", 2525, "pacs", "s3cret",
    )  # fmt: skip
    assert mail.sender == "NoctisPro <pacs@example.org>"
    assert mail.alerts_to == ("it@example.org", "night@example.org")


def test_mail_by_one_kind_of_tls() -> None:
    with pytest.raises(ConfigError, match=r"EMAIL_USE_TLS.*choose one"):
        load({"EMAIL_USE_TLS": "1", "EMAIL_USE_SSL": "1"})


def test_care_defaults() -> None:
    care = load({}).care
    assert (care.backup_dir, care.backup_at, care.backup_keep) == (None, (2, 30), 7)
    assert (care.drill_every_days, care.drill_database_url) == (7, "")
    assert (care.disk_alert_days, care.disk_alert_percent) == (30, 10)
    assert care.certificates == ()


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("NOCTIS_BACKUP_DIR", "/backup", "backup_dir", Path("/backup")),
        ("NOCTIS_BACKUP_AT", "23:05", "backup_at", (23, 5)),
        ("NOCTIS_BACKUP_KEEP", "3", "backup_keep", 3),
        ("NOCTIS_DRILL_EVERY_DAYS", "0", "drill_every_days", 0),
        ("NOCTIS_DRILL_DATABASE_URL", "postgres:///d", "drill_database_url", "postgres:///d"),
        ("NOCTIS_DISK_ALERT_DAYS", "60", "disk_alert_days", 60),
        ("NOCTIS_DISK_ALERT_PERCENT", "5", "disk_alert_percent", 5),
        ("NOCTIS_WATCH_CERTIFICATES", "/a.pem, /b.pem", "certificates",
         (Path("/a.pem"), Path("/b.pem"))),
    ],
)  # fmt: skip
def test_care(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(load({name: value}).care, field) == expected


def test_audit_syslog(tmp_path: Path) -> None:
    assert load({}).audit_syslog == config.AuditSyslog("", None, None, None)
    pem = tmp_path / "a.pem"
    pem.write_text("")
    name = "NOCTIS_AUDIT_SYSLOG"
    files = {f"{name}_{kind}": str(pem) for kind in ("CA", "CERT", "KEY")}
    found = load({name: "tls://logs.example.org:6514", **files}).audit_syslog
    assert found == config.AuditSyslog("tls://logs.example.org:6514", pem, pem, pem)
    with pytest.raises(ConfigError, match=f"{name}_KEY.*go together"):
        load({f"{name}_CERT": str(pem)})


def test_frames_go_to_redis_where_there_is_one() -> None:
    chosen = {"REDIS_URL": "redis://cache:6379/0", "NOCTIS_FRAME_CACHE": "redis"}
    assert load(chosen).frames_in_redis
    with pytest.raises(ConfigError, match=r"NOCTIS_FRAME_CACHE.*REDIS_URL"):
        load({"NOCTIS_FRAME_CACHE": "redis"})
    with pytest.raises(ConfigError, match="disk or redis"):
        load({"NOCTIS_FRAME_CACHE": "memcached"})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("NOCTIS_DEMO", "perhaps", "write 1 or 0"),
        ("NOCTIS_IDLE_MINUTES", "0", "from 1 to 720"),
        ("NOCTIS_SECOND_FACTOR", "always", "write optional, administrators or everybody"),
        ("NOCTIS_WEB_PORT", "http", "from 1 to 65535"),
        ("NOCTIS_WEB_PORT", "0", "from 1 to 65535"),
        ("NOCTIS_WEB_PORT", "65536", "from 1 to 65535"),
        ("NOCTIS_SIDECAR_PORT", "-1", "from 1 to 65535"),
        ("NOCTIS_SIDECAR_WORKERS", "0", "from 1 to 256"),
        ("DICOM_PORT", "11112x", "from 1 to 65535"),
        ("PACS_PORT", "dicom", "from 1 to 65535"),
        ("DICOM_SCP_PORT", "1.5", "from 1 to 65535"),
        ("DICOM_PORT", "٣٣", "from 1 to 65535"),
        ("DICOM_AET", "SEVENTEEN_LETTERS", "1 to 16 characters"),
        ("PACS_AET", "BACK\\SLASH", "no backslash"),
        ("DICOM_SCP_AE_TITLE", "ÄRZTE", "1 to 16 characters"),
        ("DICOM_SCU_AE_TITLE", "TAB\tTAB", "1 to 16 characters"),
        ("MWL_AET", "SEVENTEEN_LETTERS", "1 to 16 characters"),
        ("MWL_PORT", "none", "from 1 to 65535"),
        ("DICOM_TLS_PORT", "tls", "from 1 to 65535"),
        ("DATABASE_URL", "mysql://db", "postgres://"),
        ("REDIS_URL", "http://cache", "redis://"),
        ("RADIOLOGY_STORAGE", "ftp", "filesystem"),
        ("AWS_S3_ENDPOINT_URL", "ftp://s3", "https://minio.example.org"),
        ("AWS_S3_ADDRESSING_STYLE", "dotted", "path, virtual or auto"),
        ("AWS_S3_ENCRYPTION", "rot13", "AES256 or aws:kms"),
        ("NOCTIS_OBJECT_CACHE_MB", "1", "from 64"),
        ("AWS_S3_USE_SSL", "maybe", "write 1 or 0"),
        ("OHIF_VIEWER_URL", "javascript:alert(1)", "http://"),
        ("ORTHANC_URL", "orthanc:8042", "http://"),
        ("RADIOLOGY_SIGNED_URLS", "2", "write 1 or 0"),
        ("SIGNED_URL_TTL", "forever", "from 1 to 86400"),
        ("NOCTIS_SITE_URL", "pacs.example.org", "starts with http"),
        ("NOCTIS_ANALYSIS_NETWORKS", "10.1.0.1/16", "such as 10.1.0.0/16"),
        ("NOCTIS_MAX_FRAME_PIXELS", "1", "from 1048576 to 268435456"),
        ("DEBUG", "on please", "write 1 or 0"),
        ("CSRF_TRUSTED_ORIGINS", "pacs.example.org", "https://"),
        ("DICOMWEB_CORS_ORIGINS", "*", "https://"),
        ("NOCTIS_EMBED_ORIGINS", "portal.example.org", "https://"),
        ("SECURE_SSL_REDIRECT", "ja", "write 1 or 0"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO"),
        ("NOCTIS_DEFAULT_FACILITY", "no spaces", "1 to 32 letters"),
        ("NOCTIS_LOG_FORMAT", "xml", "write line or json"),
        ("NOCTIS_BACKUP_DIR", "backups", "the whole path"),
        ("NOCTIS_BACKUP_AT", "24:00", "such as 02:30"),
        ("NOCTIS_BACKUP_KEEP", "0", "from 1 to 1000"),
        ("NOCTIS_DRILL_DATABASE_URL", "sqlite:///d", "postgres://"),
        ("NOCTIS_DISK_ALERT_PERCENT", "99", "from 1 to 50"),
        ("NOCTIS_AUDIT_SYSLOG", "udp://logs:514", "tls://"),
        ("NOCTIS_AUDIT_SYSLOG", "tls://", "tls://host:6514"),
        ("NOCTIS_AUDIT_SYSLOG", "tls://logs:70000", "tls://host:6514"),
        ("NOCTIS_ALERT_MAIL", "it at example.org", "with commas between"),
    ],
)
def test_refused(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(name)) as caught:
        load({name: value})
    assert caught.value.name == name
    assert says in str(caught.value)


def test_empty_means_default() -> None:
    assert load({"DICOM_PORT": " ", "NOCTIS_DEMO": "", "LOG_LEVEL": ""}) == load({})


def test_first_alias_wins() -> None:
    chosen = load({"DICOM_PORT": "104", "PACS_PORT": "105", "DICOM_SCP_PORT": "106"})
    assert chosen.dicom_port == 104


def test_worklist_listener_follows_the_receiver() -> None:
    chosen = load({"DICOM_PORT": "104", "DICOM_AET": "MAIN"})
    assert chosen.mwl is None


def test_worklist_listener() -> None:
    assert load({"MWL_PORT": "4242", "MWL_AET": "WORKLIST"}).mwl == config.WorklistPort(
        "WORKLIST", 4242
    )
    assert load({"MWL_PORT": "104", "DICOM_PORT": "104"}).mwl is None
    with pytest.raises(ConfigError, match="set MWL_PORT too"):
        load({"MWL_AET": "WORKLIST"})
    with pytest.raises(ConfigError, match="MWL_AET"):
        load({"MWL_PORT": "4242", "MWL_AET": "no\\title"})


def test_secret_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("from the file\n", encoding="utf-8")
    assert load({"SECRET_KEY_FILE": str(secret)}).secret_key == "from the file"
    with pytest.raises(ConfigError, match="SECRET_KEY_FILE"):
        load({"SECRET_KEY_FILE": str(tmp_path / "missing")})


def test_tls_listener(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.touch()
    key.touch()
    given = {"DICOM_TLS_PORT": "2762", "DICOM_TLS_CERT": str(cert), "DICOM_TLS_KEY": str(key)}
    tls = load(given).dicom_tls
    assert tls == config.Tls(port=2762, cert=cert, key=key, ca=None)
    with pytest.raises(ConfigError, match="DICOM_TLS_CA"):
        load({**given, "DICOM_TLS_CA": str(tmp_path / "missing")})
    for missing in ("DICOM_TLS_CERT", "DICOM_TLS_KEY"):
        with pytest.raises(ConfigError, match=missing):
            load({k: v for k, v in given.items() if k != missing})


@pytest.mark.parametrize(
    "reachable",
    [{"NOCTIS_WEB_HOST": "0.0.0.0"}, {"ALLOWED_HOSTS": "pacs.example.org"}, {"ALLOWED_HOSTS": "*"}],  # noqa: S104
    ids=str,
)
def test_debug_is_refused_beyond_loopback(reachable: dict[str, str]) -> None:
    assert load({"DEBUG": "1"}).debug
    assert load(reachable).listens_beyond_loopback
    with pytest.raises(ConfigError, match="DEBUG"):
        load({"DEBUG": "1", **reachable})


def test_generated_secret_is_kept_and_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret-key"
    first = config.secret_from_file(path)
    assert len(first) >= 50
    assert config.secret_from_file(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["manage.py", "check"], id="manage.py"),
        pytest.param(["-c", "import noctis_pro.asgi"], id="asgi"),
        pytest.param(["-m", "celery", "-A", "noctis_pro", "inspect", "ping"], id="celery"),
        pytest.param(["-m", "noctis_pro.supervisor"], id="supervisor"),
    ],
)
def test_a_bad_variable_stops_every_process_in_one_line(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=config.PROJECT_DIR,
        env={**os.environ, "DICOM_PORT": "eleven"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "DICOM_PORT='eleven' cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
