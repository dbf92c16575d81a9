# Installs the Debian packages given as arguments, without any of their services being started.
set -eu

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    # 101: starting services is forbidden; ours run on ports of their own.
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi

# The package would make a database cluster for the default port.
cluster=/etc/postgresql-common/createcluster.conf
if [ ! -e "$cluster" ]; then
    mkdir -p "$(dirname "$cluster")"
    echo 'create_main_cluster = false' > "$cluster"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --quiet --yes --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
