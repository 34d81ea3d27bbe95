#!/usr/bin/env bash
# Called by mmdebstrap (see python.sh) with the root that it has filled: puts the virtual environment in, takes it out
# again as a layer of its own, and tidies what stays.
#
#   LAYERS=folder for venv.tar  REQUIREMENTS=requirements.txt  python-layers.sh ROOT
#
# pip runs inside the root, so the wheels fit the image's Python whatever Python this machine has. It is given this
# machine's pip configuration and certificate authorities for that time only.
set -euo pipefail
root=$1

# What this machine knows about reaching its package index; removed below.
authorities=${PIP_CERT:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}
install -D -m 644 "$authorities" "$root/tmp/host/authorities.crt"
install -D -m 644 "$REQUIREMENTS" "$root/tmp/host/requirements.txt"
for file in /etc/pip.conf "$HOME/.pip/pip.conf" "$HOME/.config/pip/pip.conf"; do
    if [ -f "$file" ]; then cat "$file" && echo; fi
done >"$root/tmp/host/pip.conf"
in_root() {
    local bundle=/tmp/host/authorities.crt
    env -u PIP_FIND_LINKS -u SSL_CERT_DIR -u PYTHONPATH HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        PIP_CERT=$bundle SSL_CERT_FILE=$bundle REQUESTS_CA_BUNDLE=$bundle CURL_CA_BUNDLE=$bundle PIP_CONFIG_FILE=/tmp/host/pip.conf \
        PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        chroot "$root" "$@"
}

in_root python3 -m venv /opt/venv
in_root /opt/venv/bin/pip install --quiet --use-pep517 --no-compile --require-hashes -r /tmp/host/requirements.txt
# Tests that packages carry with them are of no use here.
find "$root"/opt/venv/lib -depth \( -path '*/kfp/*_test.py' -o -path '*/kfp/*/test_data' -o -path '*/psutil/tests' \
    -o -path '*/zmq/tests' -o -path '*/tornado/test' -o -path '*/jedi/third_party/django-stubs' \) -exec rm -rf {} +
# Compiled ahead, since the user that runs this cannot write the results. By hash and not checked again: a layer's
# files all carry one fixed time, so that a time could not say whether the compiled file is current.
in_root /opt/venv/bin/python -m compileall -q -f -j 0 --invalidation-mode unchecked-hash /opt/venv/lib /usr/lib/python3 \
    "$(cd "$root" && echo /usr/lib/python3.*)"

# The owner of the home folder is the user that tests run as by default.
in_root useradd --uid 1000 --create-home --shell /bin/bash e2e

tar -C "$root" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
    -cf "$LAYERS/venv.tar" opt/venv
rm -rf "$root/opt/venv" "$root/tmp/host" "$root/root/.cache"
find "$root/var/log" "$root/var/cache" -type f -delete
