#!/bin/sh
# realm.sh - a throwaway Kerberos realm in a private folder, for tests.
#
# Needs no root, no network but loopback, and never reads or writes
# /etc/krb5*.  Works inside `unshare -n` once lo is up.  Run it, or source it
# with `. tests/lib/realm.sh` and call realm_NAME for every command below.
#
#   realm.sh start DIR [--other] [--host NAME] [--alias NAME]
#                      [--lifetime TIME]
#       Makes the realm EXAMPLE.ORG in DIR (made when missing), starts its
#       KDC on a free port of 127.0.0.1, waits until it serves, and prints
#       KEY=VALUE lines: the environment for everything that follows, in sh
#           eval "$(realm.sh start DIR | sed 's/^/export /')"
#       in Python
#           env.update(line.split('=', 1) for line in output.splitlines())
#       --other    a second realm OTHER.ORG in the same KDC; its principals
#                  may ask for services of EXAMPLE.ORG (one way)
#       --host     HOST below, default localhost
#       --alias    ALIAS below, default mail.example.org
#       --lifetime a forgotten KDC ends by itself (default 1800 seconds)
#   realm.sh env DIR                        prints those lines again
#   realm.sh stop DIR                       ends the KDC; DIR stays
#   realm.sh kinit DIR USER CCACHE [kinit options]
#       A ticket-granting ticket into the file CCACHE.  USER may be
#       alice, carol/admin or, with --other, dave@OTHER.ORG.
#   realm.sh ticket DIR CCACHE SERVICE...   gets service tickets into it
#   realm.sh expired DIR USER CCACHE SERVICE...
#       The same from a KDC two days ago (needs libfaketime, else exit 77):
#       TGT and service tickets are past their end.
#   realm.sh rotate DIR SERVICE [KEYTAB]
#       New key, kvno + 1, in KDC and keytab; the old ones stay in the
#       keytab (default kpop.keytab), old tickets go on working.
#   realm.sh rekey DIR SERVICE              new key in the KDC only
#   realm.sh purge DIR SERVICE [KEYTAB]     all but the newest leave the keytab
#   realm.sh keytab DIR KEYTAB SERVICE...   a new keytab, keys unchanged
#   realm.sh admin DIR [--other]            kadmin.local commands on stdin
#
# Users (password NAME-password, NAME the whole name without realm):
#   alice bob carol carol/admin fred; in OTHER.ORG: dave alice
# Services (kvno 1, AES): pop/HOST pop3/HOST host/HOST pop/ALIAS; pop/rekeyed
#   has kvno 2 in the KDC, kvno 1 in kpop.keytab ("keytab out of date");
#   pop/nokey is in no keytab; pop/weak has only an RC4 key.
# Files in DIR: krb5.conf kdc.conf kdc.log kdc.pid env users.keytab
#   kpop.keytab   pop/HOST pop3/HOST host/HOST pop/ALIAS pop/rekeyed(1)
#   host.keytab   host/HOST alone          empty.keytab  a keytab, no keys
#   weak.keytab   pop/weak and pop/HOST    replay/       0700, for the cache
#
# Environment it prints: KRB5_CONFIG KRB5_KDC_PROFILE KRB5CCNAME (a file that
# doesn't exist yet) KRB5_KTNAME (never exists) REALM_DIR REALM REALM_HOST
# REALM_ALIAS REALM_KEYTAB REALM_USERS REALM_PORT REALM_OTHER (or empty).
#
# SPDX-License-Identifier: MIT

realm_die()
{
    echo "realm.sh: $*" >&2
    exit 1
}

# Debian keeps the KDC's programs in sbin, which a user's PATH lacks.
realm_path()
{
    case ":$PATH:" in
    *:/usr/sbin:*) ;;
    *) PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; export PATH ;;
    esac
}

# True when all programs are there; says on stderr what is missing.
realm_possible()
{
    realm_path
    for realm_program in krb5kdc kdb5_util kadmin.local kinit kvno; do
        if ! command -v "$realm_program" >/dev/null; then
            echo "realm.sh: $realm_program is not installed" >&2
            return 1
        fi
    done
    # A build machine's network namespace may have none.
    if ! grep -q '127\.0\.0\.1' /proc/net/fib_trie 2>/dev/null; then
        echo "realm.sh: the loopback interface is down" >&2
        return 1
    fi
}

realm_enter()
{
    [ -r "$1/env" ] || realm_die "no realm in $1"
    realm_path
    while IFS= read -r realm_line; do
        export "${realm_line?}"
    done <"$1/env"
}

# RC4 is permitted here, so that what refuses it is kpop and not the library.
realm_write_conf()
{
    cat >"$1/krb5.conf" <<END
[libdefaults]
    default_realm = EXAMPLE.ORG
    dns_lookup_realm = false
    dns_lookup_kdc = false
    dns_canonicalize_hostname = false
    qualify_shortname = ""
    rdns = false
    allow_rc4 = true
    permitted_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96 aes256-cts-hmac-sha384-192 aes128-cts-hmac-sha256-128 arcfour-hmac
    udp_preference_limit = 0
    kdc_timesync = 0
[realms]
    EXAMPLE.ORG = {
        kdc = 127.0.0.1:$2
    }
    OTHER.ORG = {
        kdc = 127.0.0.1:$2
    }
[domain_realm]
    $3 = EXAMPLE.ORG
    $4 = EXAMPLE.ORG
END
    cat >"$1/kdc.conf" <<END
[kdcdefaults]
    kdc_listen = 127.0.0.1:$2
    kdc_tcp_listen = 127.0.0.1:$2
[realms]
    EXAMPLE.ORG = {
        database_name = $1/example.db
        key_stash_file = $1/example.stash
        acl_file = $1/none.acl
        max_life = 12h
        supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    }
    OTHER.ORG = {
        database_name = $1/other.db
        key_stash_file = $1/other.stash
        acl_file = $1/none.acl
        max_life = 12h
        supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    }
[logging]
    kdc = FILE:$1/kdc.log
    admin_server = FILE:$1/kadmin.log
END
}

realm_write_env()
{
    cat >"$1/env" <<END
KRB5_CONFIG=$1/krb5.conf
KRB5_KDC_PROFILE=$1/kdc.conf
KRB5CCNAME=FILE:$1/default.cc
KRB5_KTNAME=FILE:$1/none.keytab
REALM_DIR=$1
REALM=EXAMPLE.ORG
REALM_HOST=$3
REALM_ALIAS=$4
REALM_KEYTAB=$1/kpop.keytab
REALM_USERS=$1/users.keytab
REALM_PORT=$2
REALM_OTHER=$5
END
}

# kadmin.local reports errors only in words.
realm_kadmin()
{
    realm_name=$1
    realm_out=$(kadmin.local -r "$realm_name" 2>&1) ||
        realm_die "kadmin.local: $realm_out"
    case $realm_out in
    *"while "*|*"Usage:"*|*"nknown request"*)
        realm_die "kadmin.local: $realm_out" ;;
    esac
}

realm_fill()
{
    realm_admin_of EXAMPLE.ORG <<END
addprinc -pw alice-password alice
addprinc -pw bob-password bob
addprinc -pw carol-password carol
addprinc -pw carol/admin-password carol/admin
addprinc -pw fred-password fred
addprinc -randkey pop/$2
addprinc -randkey pop3/$2
addprinc -randkey host/$2
addprinc -randkey pop/$3
addprinc -randkey pop/rekeyed
addprinc -randkey pop/nokey
addprinc -randkey -e arcfour-hmac:normal pop/weak
ktadd -q -k $1/users.keytab -norandkey alice bob carol carol/admin fred
ktadd -q -k $1/kpop.keytab -norandkey pop/$2 pop3/$2 host/$2 pop/$3 pop/rekeyed
ktadd -q -k $1/host.keytab -norandkey host/$2
ktadd -q -k $1/weak.keytab -norandkey pop/weak pop/$2
cpw -randkey pop/rekeyed
END
    printf '\005\002' >"$1/empty.keytab"
    chmod 600 "$1"/*.keytab
}

realm_fill_other()
{
    realm_admin_of EXAMPLE.ORG <<END
addprinc -pw trust-password krbtgt/EXAMPLE.ORG@OTHER.ORG
END
    realm_admin_of OTHER.ORG <<END
addprinc -pw trust-password krbtgt/EXAMPLE.ORG@OTHER.ORG
addprinc -pw dave-password dave
addprinc -pw alice-password alice
ktadd -q -k $1/users.keytab -norandkey dave alice
END
}

realm_admin_of()
{
    realm_kadmin "$1"
}

# realm_run_kdc PIDFILE LOG [VAR=VALUE...]: waits until it serves; 1 when it
# doesn't (a port that was taken between choosing and binding).
realm_run_kdc()
{
    realm_pidfile=$1
    realm_log=$2
    shift 2
    : >"$realm_log"
    set -- env "$@" krb5kdc -n -r EXAMPLE.ORG
    [ -z "$REALM_OTHER" ] || set -- "$@" -r OTHER.ORG
    timeout "${REALM_LIFETIME:-1800}" "$@" </dev/null >>"$realm_log.out" \
        2>&1 3>&- &
    realm_pid=$!
    echo "$realm_pid" >"$realm_pidfile"
    realm_tries=0
    until grep -q 'commencing operation' "$realm_log"; do
        kill -0 "$realm_pid" 2>/dev/null || return 1
        realm_tries=$((realm_tries + 1))
        [ "$realm_tries" -lt 500 ] || return 1
        sleep 0.02
    done
}

realm_end_kdc()
{
    [ -s "$1" ] || return 0
    read -r realm_pid <"$1"
    rm -f "$1"
    # TERM to timeout ends the KDC as well.
    kill "$realm_pid" 2>/dev/null || return 0
    realm_tries=0
    while kill -0 "$realm_pid" 2>/dev/null; do
        # A zombie of the shell that started it has ended as well.
        grep -q '^State:.Z' "/proc/$realm_pid/status" 2>/dev/null && break
        realm_tries=$((realm_tries + 1))
        [ "$realm_tries" -lt 250 ] || realm_die "KDC $realm_pid does not end"
        sleep 0.02
    done
}

# A port between 20000 and 31999: below the range the kernel gives out.
realm_random_port()
{
    realm_random=$(od -An -N2 -tu2 /dev/urandom)
    echo $((20000 + realm_random % 12000))
}

realm_start()
{
    [ $# -ge 1 ] || realm_die "start DIR [options]"
    realm_dir=$1
    realm_host=localhost
    realm_alias=mail.example.org
    realm_other=
    REALM_LIFETIME=1800
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --other) realm_other=OTHER.ORG ;;
        --host) realm_host=$2; shift ;;
        --alias) realm_alias=$2; shift ;;
        --lifetime) REALM_LIFETIME=$2; shift ;;
        *) realm_die "unknown option $1" ;;
        esac
        shift
    done
    realm_possible || exit 77
    mkdir -p "$realm_dir" && realm_dir=$(cd "$realm_dir" && pwd) || exit 1
    case $realm_dir in
    *[!A-Za-z0-9/._+-]*) realm_die "no blanks or the like in $realm_dir" ;;
    esac
    umask 077
    mkdir -p "$realm_dir/replay"
    realm_port=$(realm_random_port)
    realm_write_conf "$realm_dir" "$realm_port" "$realm_host" "$realm_alias"
    realm_write_env "$realm_dir" "$realm_port" "$realm_host" "$realm_alias" \
        "$realm_other"
    realm_enter "$realm_dir"
    for realm_each in EXAMPLE.ORG $realm_other; do
        realm_out=$(kdb5_util create -s -P master -r "$realm_each" 2>&1) ||
            realm_die "kdb5_util: $realm_out"
    done
    realm_fill "$realm_dir" "$realm_host" "$realm_alias"
    [ -z "$realm_other" ] || realm_fill_other "$realm_dir"
    realm_round=0
    until realm_run_kdc "$realm_dir/kdc.pid" "$realm_dir/kdc.log"; do
        realm_end_kdc "$realm_dir/kdc.pid"
        realm_round=$((realm_round + 1))
        [ "$realm_round" -lt 8 ] ||
            realm_die "krb5kdc: $(cat "$realm_dir/kdc.log" \
                "$realm_dir/kdc.log.out")"
        realm_port=$(realm_random_port)
        realm_write_conf "$realm_dir" "$realm_port" "$realm_host" \
            "$realm_alias"
        realm_write_env "$realm_dir" "$realm_port" "$realm_host" \
            "$realm_alias" "$realm_other"
    done
    cat "$realm_dir/env"
}

realm_env()
{
    [ -r "$1/env" ] || realm_die "no realm in $1"
    cat "$1/env"
}

realm_stop()
{
    realm_end_kdc "$1/kdc.pid"
}

realm_kinit()
{
    realm_enter "$1"
    realm_user=$2
    realm_cc=$3
    shift 3
    kinit -k -t "$REALM_USERS" -c "FILE:$realm_cc" "$@" "$realm_user"
}

realm_ticket()
{
    realm_enter "$1"
    realm_cc=$2
    shift 2
    kvno -q -c "FILE:$realm_cc" "$@"
}

realm_faketime_library()
{
    for realm_lib in /usr/lib/*/faketime/libfaketime.so.1 \
            /usr/lib/faketime/libfaketime.so.1 \
            /usr/lib*/faketime/libfaketime.so.1; do
        [ -r "$realm_lib" ] || continue
        echo "$realm_lib"
        return 0
    done
    echo "realm.sh: libfaketime is not installed" >&2
    return 1
}

realm_expired()
{
    realm_enter "$1"
    realm_dir=$1
    realm_user=$2
    realm_cc=$3
    shift 3
    realm_lib=$(realm_faketime_library) || exit 77
    realm_past=$realm_dir/past
    mkdir -p "$realm_past"
    realm_round=0
    while :; do
        realm_port=$(realm_random_port)
        for realm_each in krb5.conf kdc.conf; do
            # shellcheck disable=SC2153  # from the env file
            sed -e "s/127.0.0.1:$REALM_PORT/127.0.0.1:$realm_port/" \
                -e "s|FILE:$REALM_DIR/|FILE:$REALM_DIR/past/|" \
                "$realm_dir/$realm_each" >"$realm_past/$realm_each"
        done
        KRB5_CONFIG=$realm_past/krb5.conf
        KRB5_KDC_PROFILE=$realm_past/kdc.conf
        realm_run_kdc "$realm_past/kdc.pid" "$realm_past/kdc.log" \
            "LD_PRELOAD=$realm_lib" FAKETIME=-2d NO_FAKE_STAT=1 && break
        realm_end_kdc "$realm_past/kdc.pid"
        realm_round=$((realm_round + 1))
        [ "$realm_round" -lt 8 ] || realm_die "KDC of the past: \
$(cat "$realm_past/kdc.log" "$realm_past/kdc.log.out")"
    done
    realm_rc=0
    env "LD_PRELOAD=$realm_lib" FAKETIME=-2d NO_FAKE_STAT=1 \
        kinit -k -t "$REALM_USERS" -c "FILE:$realm_cc" "$realm_user" &&
        { [ $# -eq 0 ] ||
        env "LD_PRELOAD=$realm_lib" FAKETIME=-2d NO_FAKE_STAT=1 \
            kvno -q -c "FILE:$realm_cc" "$@"; } || realm_rc=1
    realm_end_kdc "$realm_past/kdc.pid"
    export KRB5_CONFIG="$realm_dir/krb5.conf"
    export KRB5_KDC_PROFILE="$realm_dir/kdc.conf"
    return $realm_rc
}

realm_rotate()
{
    realm_enter "$1"
    echo "ktadd -q -k ${3:-$REALM_KEYTAB} $2" | realm_kadmin EXAMPLE.ORG
}

realm_rekey()
{
    realm_enter "$1"
    echo "cpw -randkey $2" | realm_kadmin EXAMPLE.ORG
}

realm_purge()
{
    realm_enter "$1"
    echo "ktremove -q -k ${3:-$REALM_KEYTAB} $2 old" |
        realm_kadmin EXAMPLE.ORG
}

realm_keytab()
{
    realm_enter "$1"
    realm_file=$2
    shift 2
    rm -f "$realm_file"
    echo "ktadd -q -k $realm_file -norandkey $*" | realm_kadmin EXAMPLE.ORG
}

realm_admin()
{
    realm_enter "$1"
    case ${2:-} in
    --other) realm_kadmin OTHER.ORG ;;
    *) realm_kadmin EXAMPLE.ORG ;;
    esac
}

case ${0##*/} in
realm.sh)
    set -u
    realm_command=${1:-}
    [ $# -eq 0 ] || shift
    case $realm_command in
    start|env|stop|kinit|ticket|expired|rotate|rekey|purge|keytab|admin|\
possible)
        "realm_$realm_command" "$@"
        ;;
    *)
        realm_die "commands: start env stop kinit ticket expired rotate" \
            "rekey purge keytab admin possible; see the top of the file"
        ;;
    esac
    ;;
esac
