# Installs Debian packages when they are missing. Sourced by scripts/quickstart and scripts/test.
#   ensure_packages GROUP...    groups of scripts/packages.txt
# Costs one dpkg-query when nothing is missing. Needs root or sudo when something is.

packages_of() {
    awk -v groups="$*" '
        BEGIN { count = split(groups, names, " "); for (i = 1; i <= count; i++) wanted[names[i]] = 1 }
        /^[^#]/ && ($1 in wanted) { print $2 }
    ' "$repository/scripts/packages.txt"
}

missing_of() {
    local installed
    # dpkg-query fails when it does not know one of them, which is an answer here and no error.
    installed=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } |
        awk '$1 == "installed" { print $2 }')
    local package
    for package in "$@"; do
        grep -qxF "$package" <<<"$installed" || printf '%s\n' "$package"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "error: root or sudo is needed to install packages; as root run: $*" >&2
        return 1
    fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

# Daemons that come with a package (nats-server, redis-server, prometheus) must neither start nor come
# back at the next boot: this project starts its own, with its own settings and directories.
policy=/usr/sbin/policy-rc.d
policy_is_ours=no
forbid_service_starts() {
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        policy_is_ours=yes
    fi
}
allow_service_starts() {
    if [ "$policy_is_ours" = yes ]; then
        as_root rm -f "$policy"
        policy_is_ours=no
    fi
}
disable_daemons() {
    [ -d /run/systemd/system ] || return 0
    local package
    for package in "$@"; do
        case $package in
        nats-server | redis-server) as_root systemctl disable --quiet "$package" 2>/dev/null || true ;;
        prometheus)
            as_root systemctl disable --quiet prometheus prometheus-node-exporter 2>/dev/null || true
            ;;
        esac
    done
}

ensure_packages() {
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        echo "error: this needs Debian 12 (apt-get and dpkg-query are not there)" >&2
        return 1
    fi
    local wanted missing
    mapfile -t wanted < <(packages_of "$@")
    if [ "${#wanted[@]}" = 0 ]; then
        echo "error: scripts/packages.txt names no package for: $*" >&2
        return 1
    fi
    mapfile -t missing < <(missing_of "${wanted[@]}")
    if [ "${#missing[@]}" = 0 ]; then
        return 0
    fi
    echo "installing ${#missing[@]} Debian packages: ${missing[*]}" >&2
    forbid_service_starts
    trap allow_service_starts EXIT
    local result=0 output
    # Package lists may be absent or older than what the mirror still serves, so a failure means: update, once.
    output=$(apt_get install -y --no-install-recommends "${missing[@]}" 2>&1 ||
        { apt_get update && apt_get install -y --no-install-recommends "${missing[@]}"; } 2>&1) || result=1
    disable_daemons "${missing[@]}"
    allow_service_starts
    trap - EXIT
    if [ "$result" != 0 ]; then
        printf '%s\nerror: could not install: %s\n' "$output" "${missing[*]}" >&2
    fi
    return "$result"
}
