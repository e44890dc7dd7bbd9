#!/bin/sh
# Makes sure that the programs the tests drive are there; installs them as root on Debian, Ubuntu.
set -eu

missing=
need() { # need PROGRAM PACKAGE
  command -v "$1" >/dev/null || missing="$missing $2"
}
PATH="$PATH:/usr/sbin:/sbin"
need storescu dcmtk
need redis-server redis-server
need nginx nginx
need Orthanc orthanc
need strace strace
need ffmpeg ffmpeg
need rsyslogd rsyslog
[ -e /usr/lib/rsyslog/lmnsd_gtls.so ] || ls /usr/lib/*/rsyslog/lmnsd_gtls.so >/dev/null 2>&1 ||
  missing="$missing rsyslog-gnutls"
need swift-proxy-server swift-proxy
need swift-account-server swift-account
need swift-container-server swift-container
need swift-object-server swift-object
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="$missing chromium"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"

[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing$missing."
  # The tests start the servers themselves; Debian's own instances of them stay off.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get update -q
  # shellcheck disable=SC2086 - a list of words
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
else
  echo "The tests need programs that are missing. Run: sudo apt-get install$missing" >&2
  exit 1
fi
