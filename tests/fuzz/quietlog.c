/*
 * quietlog.c - kpopd's log, which says nothing under a fuzzer: each of its
 * lines is looked at instead, whatever the input is.
 *
 * SPDX-License-Identifier: MIT
 */
#include <unistd.h>

#include "plugin/host/kpopd/logform.h"
#include "tests/fuzz/script.h"

/* One line without control characters, in every form. */
static ssize_t
look_at(int fd, const void *data, size_t len)
{
    static char out[LOGFORM_MAX];
    const char *text = data;

    (void)fd;
    script_expect(len > 7 && memcmp(text, "event=", 6) == 0
                      && text[len - 1] == '\n',
                  "a line of the log");
    for (size_t i = 0; i < len - 1; i++)
        script_expect((unsigned char)text[i] >= 0x20 && text[i] != 0x7f,
                      "a clean log line");
    script_expect(logform_syslog(0, text, len - 1, out) <= LOGFORM_MAX
                      && logform_journal(0, text, len - 1, out)
                             <= LOGFORM_MAX,
                  "a line for a daemon");
    return (ssize_t)len;
}

#define write look_at
#include "plugin/host/kpopd/log.c"
