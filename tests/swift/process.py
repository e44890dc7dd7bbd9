"""OpenStack Swift with its S3 interface in one process, for tests: run by Debian's own Python.

    /usr/bin/python3 process.py FOLDER PORT

Everything lies below FOLDER. Account, container and object server listen on ports of their own,
the proxy with the S3 interface on PORT; all on loopback.
"""

import sys
from pathlib import Path

import eventlet
import eventlet.wsgi

eventlet.patcher.monkey_patch()

from swift.common import utils, wsgi  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402

PROXY = """
[DEFAULT]
swift_dir = {folder}
bind_ip = 127.0.0.1
bind_port = {port}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats s3api tempauth slo keymaster encryption
    proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
min_segment_size = 1024
[filter:tempauth]
use = egg:swift#tempauth
user_noctis_pacs = correct-horse .admin
[filter:slo]
use = egg:swift#slo
[filter:keymaster]
use = egg:swift#keymaster
encryption_root_secret = bm9jdGlzLXRlc3RzLW5vdC1hLXNlY3JldC1vZi1hbnlib2R5cw==
[filter:encryption]
use = egg:swift#encryption
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 30
"""
BACKEND = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
bind_ip = 127.0.0.1
bind_port = {port}
log_level = WARNING
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
# What takes longer would be listed by a further process, later.
container_update_timeout = 60
"""


def main(folder: Path, port: int) -> None:
    """Serve until killed."""
    (folder / "devices" / "d1").mkdir(parents=True, exist_ok=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = noctis\n")
    utils.SWIFT_CONF_FILE = str(folder / "swift.conf")
    utils.validate_hash_conf()
    for kind in ("account", "container", "object"):
        sock = eventlet.listen(("127.0.0.1", 0))
        ring = RingBuilder(2, 1, 0)
        device = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": sock.getsockname()[1]}
        ring.add_dev({**device, "device": "d1", "weight": 1.0})
        ring.rebalance()
        ring.get_ring().save(str(folder / f"{kind}.ring.gz"))
        text = BACKEND.format(folder=folder, port=sock.getsockname()[1], kind=kind)
        eventlet.spawn(_serve, sock, folder / f"{kind}.conf", text)
    eventlet.sleep(0)
    proxy = eventlet.listen(("127.0.0.1", port))
    _serve(proxy, folder / "proxy.conf", PROXY.format(folder=folder, port=port))


def _serve(sock: eventlet.greenio.GreenSocket, conf: Path, text: str) -> None:
    conf.write_text(text)
    app = wsgi.loadapp(str(conf), global_conf={})
    eventlet.wsgi.server(sock, app, log_output=False, debug=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
