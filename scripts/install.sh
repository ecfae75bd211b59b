# Run as root by scripts/lib.sh: apt-get install, so that no server starts now
# or at the next boot. Arguments are the packages that are missing.
#
# policy-rc.d answers 101 ("not allowed") to every start that a package asks
# for; what stood there before is put back, whatever happens.

export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
kept=$(mktemp -d)

restore() {
    if [ -e "$kept/policy" ] || [ -L "$kept/policy" ]; then
        mv -f "$kept/policy" "$policy"
    else
        rm -f "$policy"
    fi
    [ ! -e "$kept/cluster" ] || cp -a "$kept/cluster" "$cluster"
    rm -rf "$kept"
}
trap restore EXIT
trap 'exit 1' INT TERM HUP

if [ -e "$policy" ] || [ -L "$policy" ]; then
    mv "$policy" "$kept/policy"
fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

install() {
    # A lock held by unattended-upgrades is waited for.
    apt-get -o DPkg::Lock::Timeout=300 install -qq -y \
        --no-install-recommends "$@" </dev/null >"$kept/log" 2>&1 ||
        {
            cat "$kept/log" >&2
            return 1
        }
}

# Lists that are a day old still know the packages; an empty directory doesn't.
if ! apt-cache show "$@" >/dev/null 2>&1; then
    apt-get update -qq </dev/null
fi

for package in "$@"; do
    # The package makes a cluster "main" unless its settings say otherwise.
    if [ "$package" = postgresql ]; then
        install postgresql-common || { apt-get update -qq && install postgresql-common; }
        cp -a "$cluster" "$kept/cluster"
        printf '\ncreate_main_cluster = false\n' >>"$cluster"
    fi
done

install "$@" || {
    apt-get update -qq </dev/null
    install "$@"
}

# Ours are started by hand in their own directories: not at the next boot. It
# is update-rc.d that tells systemd too, whether systemd is there or not.
for package in "$@"; do
    case $package in
    redis-server | prometheus | pgbouncer)
        update-rc.d "$package" disable >/dev/null 2>&1 || true
        ;;
    esac
done
