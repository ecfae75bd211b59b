# What scripts/demo and scripts/test share: messages, packages, builds, users.
# Not for anything that a running site needs: that is the daemons' work.
#
# Sourced by bash with `set -euo pipefail`; sets TOP, the top of the checkout.

TOP=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/amy

# The distribution's interpreter, not whatever comes first in PATH: a version
# manager below somebody's home cannot be run by a site's user.
PYTHON=/usr/bin/python3

BUILD_PACKAGES=(gcc libc6-dev cmake ninja-build pkg-config libevent-dev
    libssl-dev libnghttp2-dev libyaml-dev libjansson-dev libzstd-dev
    zlib1g-dev libpq-dev libcurl4-openssl-dev libhiredis-dev libseccomp-dev
    libcrypt-dev)
CHECK_PACKAGES=(git clang clang-format libcmocka-dev libclang-rt-dev g++ python3
    redis-server)
SITE_PACKAGES=(python3 python3-venv openssl postgresql postgresql-client
    redis-server zstd)
SYSTEM_PACKAGES=(python3-pytest python3-pytest-xdist python3-pytest-timeout
    strace iproute2 systemd curl certbot pebble prometheus nginx pgbouncer)
WHEEL_PACKAGES=(python3-dev python3-pip python3-setuptools python3-wheel)
PYTHON_PACKAGES=("${WHEEL_PACKAGES[@]}" python3-yaml mypy)
DEBIAN_PACKAGES=(build-essential dpkg-dev debhelper dh-python python3-dev
    python3-setuptools)
BOOT_PACKAGES=(systemd-container mmdebstrap dpkg-dev iproute2 pebble git
    python3-pytest python3-pytest-timeout)
BROWSER_PACKAGES=(chromium chromium-driver)

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
warn() { printf '\033[1;33mwarning:\033[0m %s\n' "$*" >&2; }
die() {
    printf '\033[1;31merror:\033[0m %s\n' "$*" >&2
    exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

as_root() {
    if is_root; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        die "this needs root and there is no sudo: $*"
    fi
}

# as_user USER COMMAND...: as that user with nothing of ours but the command.
as_user() {
    local user=$1
    shift
    if [ "$(id -un)" = "$user" ]; then
        "$@"
    else
        setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups \
            env -i HOME=/nonexistent LANG=C.UTF-8 \
            PATH=/usr/local/bin:/usr/bin:/bin "$@"
    fi
}

# ---- packages --------------------------------------------------------------

is_installed() {
    local status
    status=$(dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null) || true
    [ "${status%%$'\n'*}" = installed ]
}

# Some names differ between releases: clang's runtime is a versioned package on
# Debian 12, and Ubuntu's chromium is a stub that wants snapd.
package_name() {
    case $1 in
    libclang-rt-dev)
        local version
        version=$(apt-cache depends clang 2>/dev/null |
            sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
        [ -z "$version" ] || echo "libclang-rt-$version-dev"
        ;;
    chromium | chromium-driver)
        [ "$(. /etc/os-release && echo "$ID")" = ubuntu ] || echo "$1"
        ;;
    *) echo "$1" ;;
    esac
}

# need_packages NAME...: installs what is missing, and starts no server by it.
# Does not touch the network when nothing is missing.
need_packages() {
    local wanted name missing=()
    for wanted in "$@"; do
        name=$(package_name "$wanted")
        if [ -n "$name" ] && ! is_installed "$name"; then
            missing+=("$name")
        fi
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    command -v apt-get >/dev/null ||
        die "no apt-get here; please install: ${missing[*]}"
    say "installing ${missing[*]}"
    as_root bash -euo pipefail -s -- "${missing[@]}" <"$TOP/scripts/install.sh"
}

# ---- builds ----------------------------------------------------------------

JOBS=${JOBS:-$(nproc)}

# need_writable DIRECTORY: it, or where it is made, or else says what to do.
need_writable() {
    if mkdir -p "$1" 2>/dev/null && [ -w "$1" ]; then
        return
    fi
    local there=$1
    [ -e "$there" ] || there=$(dirname -- "$1")
    die "$(id -un) may not write $there, which belongs to $(stat -c %U "$there"):" \
        "take a checkout of your own, or sudo chown -R $(id -un) $TOP"
}

# build_preset PRESET [CMAKE ARGUMENT...] into build/PRESET, all of it or
# $BUILD_TARGET; what the compiler says is shown when it fails.
build_preset() {
    local preset=$1 log=$TOP/build/$1.log launcher=()
    shift
    if command -v ccache >/dev/null; then
        launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
    fi
    mkdir -p "$TOP/build"
    if ! (cd "$TOP" && cmake --preset "$preset" "${launcher[@]}" "$@" &&
        cmake --build --preset "$preset" -j "$JOBS" \
            ${BUILD_TARGET:+--target "$BUILD_TARGET"}) >"$log" 2>&1; then
        if tail -n 1 "$log" | grep -q 'interrupted by user'; then
            die "interrupted; the next run goes on from here"
        fi
        # From the first that failed on; without one cmake itself gave up.
        if grep -q '^FAILED:' "$log"; then
            sed -n '/^FAILED:/,$p' "$log" | head -n 60 >&2
        else
            tail -n 40 "$log" >&2
        fi
        printf 'all of it: %s\n' "$log" >&2
        return 1
    fi
    tail -n 1 "$log"
}

# What people run. A newer compiler's new warning is no reason not to.
build_release() { build_preset release -DBUILD_TESTING=OFF -DAMY_WERROR=OFF; }

# usable_build PRESET DIRECTORY: prints the directory with the daemons of a build.
# That is the build itself, unless the checkout lies where a site's user cannot
# come (below /root, or in a temporary directory of root's): then a copy is
# installed below DIRECTORY, which everybody may enter.
usable_build() {
    local preset=$1 prefix=$2/$1
    if ! is_root || can_everybody_enter "$TOP/build"; then
        echo "$TOP/build/$preset/daemons"
        return
    fi
    # Programs and library stay together wherever the copy lies. The build
    # links them anew, as it has to leave room for that path.
    {
        build_preset "$preset" -DCMAKE_INSTALL_LIBDIR=lib \
            '-DCMAKE_INSTALL_RPATH=$ORIGIN/../lib' &&
            rm -rf "$prefix" &&
            cmake --install "$TOP/build/$preset" --prefix "$prefix" >/dev/null
    } >&2 || return 1
    echo "$prefix/bin"
}

can_everybody_enter() {
    setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$1"
}
