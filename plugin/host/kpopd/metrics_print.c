/*
 * metrics_print.c - the table of metrics, and its two text forms.  A metric
 * is a row here, a line in kpopd(8), and a number that somebody counts.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>

#include "plugin/host/kpopd/metrics_internal.h"

enum family_type { GAUGE, COUNTER, HISTOGRAM };

/* How a metric is written; without _total, which its samples have. */
struct family {
    const char *name;
    enum family_type type;
    const char *help;
    void (*print)(FILE *out, const char *name);
};

static uint64_t
get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
print_build(FILE *out, const char *name)
{
    fprintf(out, "%s{version=\"" KPOP_VERSION "\"} 1\n", name);
}

static void
print_started(FILE *out, const char *name)
{
    fprintf(out, "%s %" PRIu64 "\n", name, get(&metrics_all()->started));
}

static void
print_sessions(FILE *out, const char *name)
{
    size_t i;
    int state;

    for (i = 0; i < SERVICES; i++)
        for (state = 0; state < SESSION_STATES; state++)
            fprintf(out, "%s{listener=\"%s\",state=\"%s\"} %" PRIu64 "\n",
                    name, metric_services[i],
                    session_state_word((enum session_state)state),
                    get(&metrics_all()->sessions[i][state]));
}

/* A counter with one label. */
static void
print_row(FILE *out, const char *name, const char *label,
          const char *const *values, size_t count,
          const _Atomic uint64_t *counters)
{
    size_t i;

    for (i = 0; i < count; i++)
        fprintf(out, "%s_total{%s=\"%s\"} %" PRIu64 "\n", name, label,
                values[i], get(&counters[i]));
}

static void
print_connections(FILE *out, const char *name)
{
    print_row(out, name, "listener", metric_services, SERVICES,
              metrics_all()->connections);
}

static void
print_logins(FILE *out, const char *name)
{
    size_t i;
    size_t r;

    for (i = 0; i < MECHANISMS; i++)
        for (r = 0; r < LOGIN_RESULTS; r++)
            fprintf(out,
                    "%s_total{mechanism=\"%s\",result=\"%s\"} %" PRIu64 "\n",
                    name, metric_mechanisms[i], metric_login_results[r],
                    get(&metrics_all()->logins[i][r]));
}

/* Of 128 codes only those that came. */
static void
print_refusals(FILE *out, const char *name)
{
    uint64_t count;
    int code;

    for (code = 0; code < CODES; code++) {
        count = get(&metrics_all()->refusals[code]);
        if (count > 0)
            fprintf(out, "%s_total{code=\"%d\"} %" PRIu64 "\n", name, code,
                    count);
    }
}

static void
print_tls(FILE *out, const char *name)
{
    print_row(out, name, "version", metric_versions, VERSIONS,
              metrics_all()->tls);
}

static void
print_octets(FILE *out, const char *name)
{
    fprintf(out, "%s_total{direction=\"in\"} %" PRIu64 "\n", name,
            metrics_get(COUNT_OCTETS_IN));
    fprintf(out, "%s_total{direction=\"out\"} %" PRIu64 "\n", name,
            metrics_get(COUNT_OCTETS_OUT));
}

static void
print_opens(FILE *out, const char *name)
{
    print_row(out, name, "result", metric_store_results, STORE_RESULTS,
              metrics_all()->store[STORE_OPEN]);
}

static void
print_commits(FILE *out, const char *name)
{
    print_row(out, name, "result", metric_store_results, STORE_RESULTS,
              metrics_all()->store[STORE_COMMIT]);
}

/* The counters that are one number. */
#define ONE(function, count)                                                  \
    static void function(FILE *out, const char *name)                        \
    {                                                                        \
        fprintf(out, "%s_total %" PRIu64 "\n", name, metrics_get(count));    \
    }

ONE(print_refused, COUNT_REFUSED)
ONE(print_evicted, COUNT_EVICTED)
ONE(print_kicked, COUNT_KICKED)
ONE(print_reloads, COUNT_RELOADS)
ONE(print_deaths, COUNT_DEATHS)
ONE(print_commands, COUNT_COMMANDS)
ONE(print_retrieved, COUNT_RETRIEVED)
ONE(print_deleted, COUNT_DELETED)

static void
print_histogram(FILE *out, const char *name, enum metric_time time)
{
    const struct histogram *h = &metrics_all()->times[time];
    uint64_t sum = get(&h->microseconds);
    uint64_t count = 0;
    size_t i;

    for (i = 0; i < BUCKETS - 1; i++) {
        count += get(&h->bucket[i]);
        fprintf(out, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", name,
                metric_bounds[i].seconds, count);
    }
    count += get(&h->bucket[BUCKETS - 1]);
    fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    fprintf(out, "%s_sum %" PRIu64 ".%06" PRIu64 "\n", name, sum / 1000000,
            sum % 1000000);
    fprintf(out, "%s_count %" PRIu64 "\n", name, count);
}

#define TIME(function, time)                                                  \
    static void function(FILE *out, const char *name)                        \
    {                                                                        \
        print_histogram(out, name, time);                                    \
    }

TIME(print_login_time, TIME_LOGIN)
TIME(print_wait_time, TIME_WAIT)
TIME(print_ticket_time, TIME_TICKET)
TIME(print_open_time, TIME_OPEN)
TIME(print_commit_time, TIME_COMMIT)

static const struct family families[] = {
    { "kpop_build_info", GAUGE, "The version of kpopd.", print_build },
    { "kpop_start_time_seconds", GAUGE, "When kpopd was started.",
      print_started },
    { "kpop_sessions", GAUGE, "Connections that there are.",
      print_sessions },
    { "kpop_connections", COUNTER, "Connections that were taken.",
      print_connections },
    { "kpop_connections_refused", COUNTER,
      "Connections that were not taken: a limit, or no worker.",
      print_refused },
    { "kpop_connections_evicted", COUNTER,
      "Connections before login that had to make room.", print_evicted },
    { "kpop_sessions_kicked", COUNTER, "Sessions ended by kpopctl kick.",
      print_kicked },
    { "kpop_logins", COUNTER, "Logins by mechanism and result.",
      print_logins },
    { "kpop_refusals", COUNTER,
      "Refused KPOP handshakes by the code of Kerberos.", print_refusals },
    { "kpop_tls_handshakes", COUNTER, "TLS that stands, by version.",
      print_tls },
    { "kpop_octets", COUNTER, "Octets on the wire.", print_octets },
    { "kpop_commands", COUNTER, "Commands of POP3.", print_commands },
    { "kpop_messages_retrieved", COUNTER, "Messages sent to the end.",
      print_retrieved },
    { "kpop_messages_deleted", COUNTER, "Messages deleted by QUIT.",
      print_deleted },
    { "kpop_maildrop_opens", COUNTER,
      "Maildrops opened, by result; in_use: another session has the lock.",
      print_opens },
    { "kpop_maildrop_commits", COUNTER, "Deletions at QUIT, by result.",
      print_commits },
    { "kpop_reloads", COUNTER, "Configurations read anew.", print_reloads },
    { "kpop_process_deaths", COUNTER,
      "Processes that ended without being told.", print_deaths },
    { "kpop_login_seconds", HISTOGRAM,
      "Time of a step of a login, waiting for an auth process with it.",
      print_login_time },
    { "kpop_login_wait_seconds", HISTOGRAM,
      "Time a step of a login waited for an auth process.",
      print_wait_time },
    { "kpop_ticket_check_seconds", HISTOGRAM,
      "Time to verify a ticket, with the replay cache.",
      print_ticket_time },
    { "kpop_open_seconds", HISTOGRAM, "Time to open a maildrop.",
      print_open_time },
    { "kpop_commit_seconds", HISTOGRAM, "Time to delete at QUIT.",
      print_commit_time },
};

void
metrics_print(FILE *out, bool is_openmetrics)
{
    static const char *const types[] = { "gauge", "counter", "histogram" };
    size_t i;

    for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        const struct family *f = &families[i];
        /* The older form has the counter's family called as its samples. */
        const char *more =
            f->type == COUNTER && !is_openmetrics ? "_total" : "";

        fprintf(out, "# TYPE %s%s %s\n", f->name, more, types[f->type]);
        fprintf(out, "# HELP %s%s %s\n", f->name, more, f->help);
        f->print(out, f->name);
    }
    if (is_openmetrics)
        fputs("# EOF\n", out);
}
