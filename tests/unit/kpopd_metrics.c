/*
 * kpopd_metrics.c - what is counted by which log line, and the two text forms.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "plugin/host/kpopd/metrics_listen.h"
#include "plugin/kpop_plugin.h"
#include "tests/lib/check.h"

static char *
printed(bool is_openmetrics)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    metrics_print(out, is_openmetrics);
    fclose(out);
    return text;
}

/* Is this a line of theirs? */
static bool
says(const char *line)
{
    char *text = printed(false);
    char wanted[160];
    bool found;

    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    found = strstr(text, wanted) != NULL;
    free(text);
    return found;
}

TEST(login_counts_by_its_first_mechanism_and_its_event)
{
    metrics_note_event("auth.fail",
                       "session=1 peer=::1 service=pop3 mechanism=CRAM-MD5 "
                       "claimed=\"x mechanism=KPOP \" result=auth");
    CHECK(says("kpop_logins_total{mechanism=\"CRAM-MD5\",result=\"fail\"} "
               "1"));
    CHECK(says("kpop_logins_total{mechanism=\"KPOP\",result=\"fail\"} 0"));
    metrics_note_event("auth.ok", "session=1 mechanism=NEW-ONE user=a");
    CHECK(says("kpop_logins_total{mechanism=\"other\",result=\"ok\"} 1"));
    metrics_note_event("auth.slowed", "session=1 mechanism=PLAIN");
    metrics_note_event("auth", "mechanism=PLAIN");
    metrics_note_event("store.fail", "mechanism=PLAIN");
    CHECK(!says("kpop_logins_total{mechanism=\"PLAIN\",result=\"ok\"} 1"));
}

TEST(refusal_counts_by_its_first_code)
{
    metrics_note_event("kpop.refused",
                       "session=1 peer=::1 code=37 principal=\"a code=44\"");
    CHECK(says("kpop_refusals_total{code=\"37\"} 1"));
    metrics_note_event("kpop.refused", "session=1 code=4711");
    metrics_note_event("kpop.refused",
                       "session=1 code=123456789012345678901234567890123456"
                       "789012345678901234567890123456789012345678901234567"
                       "89");
    metrics_note_event("kpop.refused", "session=1 peer=::1");
    CHECK(says("kpop_refusals_total{code=\"60\"} 3"));
    CHECK(!says("kpop_refusals_total{code=\"0\"} 1"));
    CHECK(!says("kpop_refusals_total{code=\"44\"} 1"));
}

TEST(sessions_come_and_go)
{
    const char *line = "kpop_sessions{listener=\"pop3s\",state=\"mail\"} 2";

    metrics_count_session("pop3s", SESSION_MAIL, 1);
    metrics_count_session("pop3s", SESSION_MAIL, 1);
    CHECK(says(line));
    metrics_count_session("pop3s", SESSION_MAIL, -1);
    CHECK(!says(line));
    metrics_count_session("pop3s", SESSION_MAIL, -1);
    CHECK(says("kpop_sessions{listener=\"pop3s\",state=\"mail\"} 0"));
}

TEST(histogram_is_cumulative_and_a_bound_belongs_to_its_bucket)
{
    metrics_note_store(STORE_OPEN, KPOP_OK, 1000);
    metrics_note_store(STORE_OPEN, KPOP_IN_USE, 1001);
    metrics_note_store(STORE_OPEN, KPOP_NO_MEMORY, 60000000);
    CHECK(says("kpop_open_seconds_bucket{le=\"0.001\"} 1"));
    CHECK(says("kpop_open_seconds_bucket{le=\"0.005\"} 2"));
    CHECK(says("kpop_open_seconds_bucket{le=\"10.0\"} 2"));
    CHECK(says("kpop_open_seconds_bucket{le=\"+Inf\"} 3"));
    CHECK(says("kpop_open_seconds_count 3"));
    CHECK(says("kpop_open_seconds_sum 60.002001"));
    CHECK(says("kpop_maildrop_opens_total{result=\"in_use\"} 1"));
    CHECK(says("kpop_maildrop_opens_total{result=\"other\"} 1"));
}

TEST(openmetrics_ends_with_eof_and_names_families)
{
    char *text = printed(true);
    const char eof[] = "\n# EOF\n";

    CHECK(strlen(text) > sizeof(eof));
    CHECK_STR(text + strlen(text) - (sizeof(eof) - 1), eof);
    CHECK(strstr(text, "# TYPE kpop_logins counter\n") != NULL);
    free(text);
    text = printed(false);
    CHECK(strstr(text, "# EOF") == NULL);
    CHECK(strstr(text, "# TYPE kpop_logins_total counter\n") != NULL);
    free(text);
}

TEST(only_loopback_and_absolute_paths_are_taken)
{
    static const char *const good[] = { "127.0.0.1:9109", "127.1.2.3:0",
                                        "[::1]:65535", "unix:/run/m" };
    static const char *const bad[] = {
        "0.0.0.0:1",  "[::]:1",     "10.0.0.1:1",      "[fe80::1]:1",
        "*:1",        "::1:1",      "127.0.0.1",       "127.0.0.1:",
        "127.0.0.1:65536", "unix:", "unix:m",          "",
        ":1",         "[]:1",       "[::ffff:8.8.8.8]:1", "127.0.0.1:-1",
    };
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK(metrics_listen_fault(good[i]) == NULL);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(metrics_listen_fault(bad[i]) != NULL);
}

TEST_MAIN("kpopd_metrics",
          T(login_counts_by_its_first_mechanism_and_its_event),
          T(refusal_counts_by_its_first_code), T(sessions_come_and_go),
          T(histogram_is_cumulative_and_a_bound_belongs_to_its_bucket),
          T(openmetrics_ends_with_eof_and_names_families),
          T(only_loopback_and_absolute_paths_are_taken))
