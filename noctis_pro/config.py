"""Environment variables, read once into one frozen :class:`Config`.

Every variable is optional. A value that cannot be used stops the start with the variable's name and
what it should look like, so that a typing error never becomes a default that nobody asked for.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from noctis_pro.variables import ConfigError, Reader

PROJECT_DIR = Path(__file__).resolve().parent.parent

FILESYSTEM_STORAGE = "filesystem"
S3_STORAGES = ("storages.backends.s3boto3.S3Boto3Storage", "storages.backends.s3.S3Storage")

_SECOND_FACTOR = ("optional", "administrators", "everybody")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Tls:
    """The receiver's second, encrypted listener."""

    port: int
    cert: Path
    key: Path
    ca: Path | None


@dataclass(frozen=True, slots=True)
class WorklistPort:
    """A further listener that serves Modality Worklist and MPPS alone."""

    ae_title: str
    port: int


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """S3 or MinIO access; empty strings where the environment says nothing.

    Attributes
    ----------
    endpoint_url : with its scheme; empty: Amazon's own for the region
    addressing_style : `path`, `virtual` or `auto`
    encryption : `AES256` or `aws:kms`, asked of the server for each object; empty: the bucket's own
    cache_bytes : what may lie on this machine besides what still has to be uploaded
    """

    access_key: str
    secret_key: str
    bucket: str
    region: str
    endpoint_url: str
    use_ssl: bool
    addressing_style: str
    encryption: str
    encryption_key_id: str
    cache_bytes: int


@dataclass(frozen=True, slots=True)
class Mail:
    """How mail leaves; nothing is sent without a host."""

    host: str
    port: int
    user: str
    password: str
    use_tls: bool
    use_ssl: bool
    sender: str
    alerts_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Care:
    """What the site does for itself by the clock, and when it warns.

    Attributes
    ----------
    backup_dir : where scheduled backups go; None: none are made
    backup_at : hour and minute of each day, UTC
    backup_keep : how many of them stay
    drill_every_days : how often the newest one is restored for a trial; 0: never
    drill_database_url : the drill's own empty database, where the site's is PostgreSQL
    disk_alert_days, disk_alert_percent : warn so long before a disk is full, and with so little
    certificates : further certificates whose end is watched, such as nginx's
    """

    backup_dir: Path | None
    backup_at: tuple[int, int]
    backup_keep: int
    drill_every_days: int
    drill_database_url: str
    disk_alert_days: int
    disk_alert_percent: int
    certificates: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class AuditSyslog:
    """The receiver of audit messages (RFC 5425); empty URL: none."""

    url: str
    ca: Path | None
    cert: Path | None
    key: Path | None


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the environment decides."""

    data_dir: Path
    demo: bool
    admin_user: str
    admin_password: str
    web_host: str
    web_port: int
    sidecar_port: int
    sidecar_workers: int
    dicom_port: int
    dicom_aet: str
    dicom_scu_aet: str
    dicom_host: str
    dicom_tls: Tls | None
    dicom_fast_path: bool
    mwl: WorklistPort | None
    dicom_root: Path
    database_url: str
    redis_url: str
    frames_in_redis: bool
    celery_broker_url: str
    radiology_storage: str
    object_store: ObjectStore
    ohif_viewer_url: str
    orthanc_url: str
    orthanc_mirror: bool
    site_url: str
    analysis_networks: tuple[Network, ...]
    signed_urls: bool
    signed_url_ttl_s: int
    max_frame_pixels: int
    secret_key: str
    signing_key: str
    second_factor: str
    idle_minutes: int
    debug: bool
    allowed_hosts: tuple[str, ...]
    embed_origins: tuple[str, ...]
    csrf_trusted_origins: tuple[str, ...]
    dicomweb_cors_origins: tuple[str, ...]
    secure_ssl_redirect: bool
    log_level: str
    log_format: str
    default_facility_code: str
    mail: Mail
    care: Care
    audit_syslog: AuditSyslog

    @property
    def listens_beyond_loopback(self) -> bool:
        """Whether the site may be reached from another machine."""
        return not _is_loopback(self.web_host) or any(
            not _is_loopback(host) for host in self.allowed_hosts
        )

    @property
    def log_dir(self) -> Path:
        """Where the processes write their logs."""
        return self.data_dir / "logs"

    @property
    def cache_dir(self) -> Path:
        """What can be made again."""
        return self.data_dir / "cache"

    @property
    def temp_dir(self) -> Path:
        """Files of a moment: uploads that are still coming in."""
        return self.data_dir / "tmp"

    @property
    def spool_dir(self) -> Path:
        """Beside the store: a rename from here into the layout never crosses a file system."""
        return self.dicom_root / "spool"


def _is_loopback(host: str) -> bool:
    if host in {"localhost", "testserver", "[::1]"} or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def load(environ: Mapping[str, str]) -> Config:
    """Read and check every variable.

    Raises
    ------
    ConfigError
        For the first value that cannot be used; the message names the variable.
    """
    read = Reader(environ)
    data_dir = Path(read.text("NOCTIS_DATA_DIR", default="var")).expanduser()
    if not data_dir.is_absolute():
        data_dir = PROJECT_DIR / data_dir
    dicom_root = Path(
        read.text("DICOM_ROOT", "PACS_STORAGE_PATH", default=str(data_dir / "media" / "dicom"))
    ).expanduser()
    if not dicom_root.is_absolute():
        dicom_root = PROJECT_DIR / dicom_root
    dicom_port = read.port("DICOM_PORT", "PACS_PORT", "DICOM_SCP_PORT", default=11112)
    dicom_aet = read.ae_title("DICOM_AET", "PACS_AET", "DICOM_SCP_AE_TITLE", default="NOCTIS_SCP")
    redis_url = read.url("REDIS_URL", schemes=("redis", "rediss", "unix"))
    radiology_storage = read.text("RADIOLOGY_STORAGE", default=FILESYSTEM_STORAGE)
    if radiology_storage not in (FILESYSTEM_STORAGE, *S3_STORAGES):
        raise ConfigError(
            "RADIOLOGY_STORAGE",
            radiology_storage,
            f"write {FILESYSTEM_STORAGE} or {S3_STORAGES[0]}",
        )
    log_level = read.text("LOG_LEVEL", default="INFO").upper()
    if log_level not in _LOG_LEVELS:
        raise ConfigError("LOG_LEVEL", log_level, f"write one of {', '.join(_LOG_LEVELS)}")
    default_facility = read.text("NOCTIS_DEFAULT_FACILITY", default="LOCAL")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", default_facility):
        raise ConfigError(
            "NOCTIS_DEFAULT_FACILITY",
            default_facility,
            "a facility code has 1 to 32 letters, digits, - or _",
        )
    web_host = read.text("NOCTIS_WEB_HOST", default="127.0.0.1")
    debug = read.flag("DEBUG", default=False)
    config = Config(
        data_dir=data_dir,
        demo=read.flag("NOCTIS_DEMO", default=False),
        admin_user=read.text("NOCTIS_ADMIN_USER", default="admin"),
        admin_password=read.text("NOCTIS_ADMIN_PASSWORD"),
        web_host=web_host,
        web_port=read.port("NOCTIS_WEB_PORT", default=8000),
        sidecar_port=read.port("NOCTIS_SIDECAR_PORT", default=8001),
        sidecar_workers=read.whole(
            "NOCTIS_SIDECAR_WORKERS", default=os.cpu_count() or 1, least=1, most=256
        ),
        dicom_port=dicom_port,
        dicom_aet=dicom_aet,
        dicom_scu_aet=read.ae_title("DICOM_SCU_AE_TITLE", default="NOCTIS_SCU"),
        dicom_host=read.text("DICOM_SCP_HOST", default="0.0.0.0"),  # noqa: S104 - scanners call from outside
        dicom_tls=_tls(read),
        dicom_fast_path=read.flag("DICOM_FAST_PATH", default=True),
        mwl=_worklist_port(read, dicom_aet, dicom_port),
        dicom_root=dicom_root,
        database_url=_database_url(read, data_dir),
        redis_url=redis_url,
        frames_in_redis=_frames_in_redis(read, redis_url),
        celery_broker_url=read.text("CELERY_BROKER_URL", default=redis_url),
        radiology_storage=radiology_storage,
        object_store=_object_store(read),
        ohif_viewer_url=read.url("OHIF_VIEWER_URL", schemes=("http", "https")),
        orthanc_url=read.url("ORTHANC_URL", schemes=("http", "https")),
        orthanc_mirror=read.flag("ORTHANC_MIRROR", default=False),
        site_url=_site_url(read),
        analysis_networks=_networks(read, "NOCTIS_ANALYSIS_NETWORKS"),
        signed_urls=read.flag("RADIOLOGY_SIGNED_URLS", default=True),
        signed_url_ttl_s=read.whole("SIGNED_URL_TTL", default=3600, least=1, most=86400),
        max_frame_pixels=read.whole(
            "NOCTIS_MAX_FRAME_PIXELS", default=2**26, least=2**20, most=2**28
        ),
        secret_key=read.text("SECRET_KEY"),
        signing_key=read.text("NOCTIS_SIGNING_KEY"),
        second_factor=_second_factor(read),
        idle_minutes=read.whole("NOCTIS_IDLE_MINUTES", default=60, least=1, most=720),
        debug=debug,
        allowed_hosts=read.listing("ALLOWED_HOSTS", default=("localhost", "127.0.0.1", "[::1]")),
        embed_origins=_origins(read, "NOCTIS_EMBED_ORIGINS"),
        csrf_trusted_origins=_origins(read, "CSRF_TRUSTED_ORIGINS"),
        dicomweb_cors_origins=_origins(read, "DICOMWEB_CORS_ORIGINS"),
        secure_ssl_redirect=read.flag("SECURE_SSL_REDIRECT", default=False),
        log_level=log_level,
        log_format=_log_format(read),
        default_facility_code=default_facility,
        mail=_mail(read),
        care=_care(read),
        audit_syslog=_audit_syslog(read),
    )
    keys = config.object_store
    if radiology_storage in S3_STORAGES and bool(keys.access_key) != bool(keys.secret_key):
        missing = "AWS_SECRET_ACCESS_KEY" if keys.access_key else "AWS_ACCESS_KEY_ID"
        raise ConfigError(missing, "", "an access key and its secret come together")
    if debug and config.listens_beyond_loopback:
        raise ConfigError(
            "DEBUG", "1", "tracebacks would be shown to strangers: the site is not on loopback"
        )
    return config


def _log_format(read: Reader) -> str:
    form = read.text("NOCTIS_LOG_FORMAT", default="line").lower()
    if form not in ("line", "json"):
        raise ConfigError("NOCTIS_LOG_FORMAT", form, "write line or json")
    return form


def _mail(read: Reader) -> Mail:
    use_ssl = read.flag("EMAIL_USE_SSL", default=False)
    use_tls = read.flag("EMAIL_USE_TLS", default=False)
    if use_ssl and use_tls:
        raise ConfigError("EMAIL_USE_TLS", "1", "EMAIL_USE_SSL is set too; choose one of them")
    alerts_to = read.listing("NOCTIS_ALERT_MAIL")
    for address in alerts_to:
        if not re.fullmatch(r"[^@\s,<>]+@[^@\s,<>]+", address):
            raise ConfigError("NOCTIS_ALERT_MAIL", address, "write addresses with commas between")
    return Mail(
        host=read.text("EMAIL_HOST"),
        port=read.port("EMAIL_PORT", default=465 if use_ssl else 587 if use_tls else 25),
        user=read.text("EMAIL_HOST_USER"),
        password=read.text("EMAIL_HOST_PASSWORD"),
        use_tls=use_tls,
        use_ssl=use_ssl,
        sender=read.text("DEFAULT_FROM_EMAIL", default="noctispro@localhost"),
        alerts_to=alerts_to,
    )


def _care(read: Reader) -> Care:
    folder = read.text("NOCTIS_BACKUP_DIR")
    backup_dir = Path(folder).expanduser() if folder else None
    if backup_dir is not None and not backup_dir.is_absolute():
        raise ConfigError("NOCTIS_BACKUP_DIR", folder, "write the whole path of a folder")
    at = read.text("NOCTIS_BACKUP_AT", default="02:30")
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", at):
        raise ConfigError("NOCTIS_BACKUP_AT", at, "write a time of day (UTC) such as 02:30")
    return Care(
        backup_dir=backup_dir,
        backup_at=(int(at[:2]), int(at[3:])),
        backup_keep=read.whole("NOCTIS_BACKUP_KEEP", default=7, least=1, most=1000),
        drill_every_days=read.whole("NOCTIS_DRILL_EVERY_DAYS", default=7, least=0, most=365),
        drill_database_url=read.url(
            "NOCTIS_DRILL_DATABASE_URL", schemes=("postgres", "postgresql")
        ),
        disk_alert_days=read.whole("NOCTIS_DISK_ALERT_DAYS", default=30, least=1, most=365),
        disk_alert_percent=read.whole("NOCTIS_DISK_ALERT_PERCENT", default=10, least=1, most=50),
        certificates=tuple(Path(name) for name in read.listing("NOCTIS_WATCH_CERTIFICATES")),
    )


def _audit_syslog(read: Reader) -> AuditSyslog:
    name = "NOCTIS_AUDIT_SYSLOG"
    url = read.url(name, schemes=("tls",))
    if url:
        try:
            is_whole = bool(urlsplit(url).hostname) and (urlsplit(url).port or 6514) > 0
        except ValueError:
            is_whole = False
        if not is_whole:
            raise ConfigError(name, url, "write tls://host:6514")
    cert, key = read.file(f"{name}_CERT"), read.file(f"{name}_KEY")
    if (cert is None) != (key is None):
        missing = f"{name}_CERT" if cert is None else f"{name}_KEY"
        raise ConfigError(missing, "", "a client's certificate and its key go together")
    return AuditSyslog(url=url, ca=read.file(f"{name}_CA"), cert=cert, key=key)


def _origins(read: Reader, name: str) -> tuple[str, ...]:
    origins = read.listing(name)
    for origin in origins:
        if urlsplit(origin).scheme not in {"http", "https"}:
            raise ConfigError(name, origin, "write origins such as https://pacs.example.org")
    return origins


def _site_url(read: Reader) -> str:
    """Return under which address programs elsewhere reach the site."""
    host = read.text("NOCTIS_WEB_HOST", default="127.0.0.1")
    port = read.port("NOCTIS_WEB_PORT", default=8000)
    own = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return read.url("NOCTIS_SITE_URL", schemes=("http", "https"), default=own).rstrip("/")


def _networks(read: Reader, name: str) -> tuple[Network, ...]:
    found = []
    for text in read.listing(name):
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigError(name, text, "write networks such as 10.1.0.0/16") from error
    return tuple(found)


def _frames_in_redis(read: Reader, redis_url: str) -> bool:
    """Whether made pictures are kept in Redis rather than in the data directory."""
    where = read.text("NOCTIS_FRAME_CACHE", default="disk")
    if where not in ("disk", "redis"):
        raise ConfigError("NOCTIS_FRAME_CACHE", where, "write disk or redis")
    if where == "redis" and not redis_url:
        raise ConfigError("NOCTIS_FRAME_CACHE", where, "set REDIS_URL too")
    return where == "redis"


def _second_factor(read: Reader) -> str:
    """Return who has to have a second factor."""
    who = read.text("NOCTIS_SECOND_FACTOR", default="optional").lower()
    if who not in _SECOND_FACTOR:
        raise ConfigError(
            "NOCTIS_SECOND_FACTOR", who, f"write {', '.join(_SECOND_FACTOR[:-1])} or everybody"
        )
    return who


def _worklist_port(read: Reader, aet: str, port: int) -> WorklistPort | None:
    """Return the worklist's own listener; without one, it is served beside everything else."""
    own = WorklistPort(
        ae_title=read.ae_title("MWL_AET", default=aet), port=read.port("MWL_PORT", default=port)
    )
    if own.port != port:
        return own
    if own.ae_title != aet:
        raise ConfigError("MWL_AET", own.ae_title, "set MWL_PORT too: one port has one AE title")
    return None


def _tls(read: Reader) -> Tls | None:
    if not read.text("DICOM_TLS_PORT"):
        return None
    port = read.port("DICOM_TLS_PORT", default=2762)
    cert, key = read.file("DICOM_TLS_CERT"), read.file("DICOM_TLS_KEY")
    if cert is None or key is None:
        missing = "DICOM_TLS_CERT" if cert is None else "DICOM_TLS_KEY"
        raise ConfigError(missing, "", "the TLS listener needs a certificate and its key")
    return Tls(port=port, cert=cert, key=key, ca=read.file("DICOM_TLS_CA"))


def _database_url(read: Reader, data_dir: Path) -> str:
    url = read.url("DATABASE_URL", schemes=("postgres", "postgresql", "sqlite"))
    if url:
        return url
    path = Path(read.text("PACS_DB_PATH", default=str(data_dir / "noctis.sqlite3"))).expanduser()
    return f"sqlite:///{path if path.is_absolute() else PROJECT_DIR / path}"


def _object_store(read: Reader) -> ObjectStore:
    use_ssl = read.flag("AWS_S3_USE_SSL", default=True)
    endpoint_url = read.text("AWS_S3_ENDPOINT_URL", "MINIO_ENDPOINT_URL")
    if endpoint_url and "://" not in endpoint_url:
        endpoint_url = f"{'https' if use_ssl else 'http'}://{endpoint_url}"
    if endpoint_url and urlsplit(endpoint_url).scheme not in ("http", "https"):
        raise ConfigError(
            "AWS_S3_ENDPOINT_URL", endpoint_url, "write a URL such as https://minio.example.org"
        )
    return ObjectStore(
        access_key=read.text("AWS_ACCESS_KEY_ID", "MINIO_ACCESS_KEY"),
        secret_key=read.text("AWS_SECRET_ACCESS_KEY", "MINIO_SECRET_KEY"),
        bucket=read.text("AWS_STORAGE_BUCKET_NAME", default="radiology"),
        region=read.text("AWS_S3_REGION_NAME", default="us-east-1"),
        endpoint_url=endpoint_url,
        use_ssl=use_ssl,
        # Servers of one's own seldom have a name for each bucket.
        addressing_style=read.one_of(
            "AWS_S3_ADDRESSING_STYLE",
            ("path", "virtual", "auto"),
            default="path" if endpoint_url else "auto",
        ),
        encryption=read.one_of("AWS_S3_ENCRYPTION", ("AES256", "aws:kms"), default=""),
        encryption_key_id=read.text("AWS_S3_ENCRYPTION_KEY_ID"),
        cache_bytes=read.whole("NOCTIS_OBJECT_CACHE_MB", default=20480, least=64, most=10**9)
        * 2**20,
    )


def secret_from_file(path: Path, *, length: int = 50) -> str:
    """Return the secret kept in `path`, made on first use and readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(secrets.token_urlsafe(length))
    return path.read_text(encoding="ascii").strip()


def environment() -> dict[str, str]:
    """Return the environment's variables, over those of `.env` in the checkout."""
    dotenv = {k: v for k, v in dotenv_values(PROJECT_DIR / ".env").items() if v is not None}
    return {**dotenv, **os.environ}


@lru_cache(maxsize=1)
def current() -> Config:
    """Return the process's configuration."""
    return load(environment())
