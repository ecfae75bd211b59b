# Sourced by the runs that need a person: what follows is run as nobody where
# root runs it, in an empty directory that goes with it.

if [ "$(id -u)" -eq 0 ]; then
    exec setpriv --reuid=65534 --regid=65534 --clear-groups bash "$0" "$@"
fi
work=$(mktemp -d)
export HOME=$work

# Ends what was started below the directory, servers of their own session too.
leave() {
    local process
    for process in /proc/[0-9]*; do
        case $(readlink "$process/cwd") in
        "$work" | "$work"/*) [ "${process#/proc/}" = $$ ] || kill -9 "${process#/proc/}" ;;
        esac
    done 2>/dev/null
    rm -rf "$work"
}
trap leave EXIT

await() { # SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || { echo "never: $*" && exit 1; }
        sleep 0.1
    done
}

expect() { # TEXT FILE: the file holds just this
    printf '%s\n' "$1" | diff - "$2"
}
