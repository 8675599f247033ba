# trees.sh - clean systems of Debian's suites, for tests that install: the
# caller sets BUILD, reads lib/tap.sh and has a folder $work.
#
#   KPOP_SUITES  the suites, "bookworm trixie" if unset
#   KPOP_TREES   a folder with a clean tree of each suite, which is copied;
#                if unset, debootstrap makes them in the build folder
#
# SPDX-License-Identifier: MIT

suites=${KPOP_SUITES-bookworm trixie}
trees=${KPOP_TREES:-$BUILD/trees}

# quietly NAME COMMAND...: a test; its words are shown when it fails.
quietly()
{
    name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        tap ok "$name"
        return 0
    fi
    { tail -n 60 "$work/log"; echo "failed: $*"; } | none "$name"
    return 1
}

# within TREE COMMAND [NAMESPACES]: as root in the tree, with a /proc and a
# /dev; with -n among the namespaces, in a network of its own.
within()
{
    # shellcheck disable=SC2016,SC2086  # for the shell inside; words
    unshare -m ${3:-} --propagation private sh -c '
        mount --bind "$1" "$1" && cd "$1" && mount -t proc proc proc &&
        mount --rbind /dev dev &&
        case " $3 " in *" -n "*) ip link set lo up ;; esac &&
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent \
            LC_ALL=C DEBIAN_FRONTEND=noninteractive \
            chroot "$1" sh -euc "$2"' sh "$1" "$2" "${3:-}" </dev/null
}

# clean_tree SUITE FOLDER: a copy, in which no package starts a daemon.
clean_tree()
{
    if [ ! -e "$trees/$1/etc/debian_version" ]; then
        [ -z "${KPOP_TREES:-}" ] || return 1
        mkdir -p "$trees"
        rm -rf "$trees/$1"
        debootstrap --variant=minbase "$1" "$trees/$1" || {
            rm -rf "$trees/$1"
            return 1
        }
    fi
    rm -rf "$2"
    cp -a "$trees/$1/." "$2"
    cp /etc/resolv.conf "$2/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$2/usr/sbin/policy-rc.d"
    chmod 755 "$2/usr/sbin/policy-rc.d"
    within "$2" 'apt-get -q update'
}
