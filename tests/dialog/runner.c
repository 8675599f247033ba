/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc */
/*
 * runner.c - runs the dialogues in tests/dialog (or those named as arguments)
 * against the module linked into it, each in every way of cutting, answering
 * and draining, and compares the transcripts octet by octet.  TAP.  With the
 * environment's DIALOG_SEED the random ways are those of another run.
 * TIME-LIMIT: 180
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/sweep.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    unsigned number;
    unsigned failed;
    uint64_t seed;
} tap;

static void
result(bool ok, const char *title, const char *detail)
{
    tap.number++;
    if (!ok)
        tap.failed++;
    printf("%sok %u - %s\n", ok ? "" : "not ", tap.number, title);
    if (!ok) {
        char *copy = xstrdup(detail), *rest = copy, *line;

        for (line = strtok_r(copy, "\n", &rest); line != NULL;
             line = strtok_r(NULL, "\n", &rest))
            printf("# %s\n", line);
        free(copy);
    }
    (void)fflush(stdout);
}

static bool
same_transcripts(const struct play *a, const struct play *b)
{
    size_t i;

    for (i = 0; i < PLAY_CLIENTS; i++) {
        const struct blob *x = &a->clients[i].out, *y = &b->clients[i].out;

        if (x->len != y->len ||
            (x->len > 0 && memcmp(x->data, y->data, x->len) != 0))
            return false;
    }
    return true;
}

static void
describe(const struct variant *variant, const char *failure, char *text,
         size_t size)
{
    static const char *const answerings[] = { "return", "inside", "later" };
    static const char *const cuts[] = { "blocks", "all at once", "octets",
                                        "random", "random, all" };

    (void)snprintf(text, size,
                   "%s; done: %s; segments: %s%s%s; DIALOG_SEED=%llu\n%s",
                   variant->exchange ? "exchange" : "passwords",
                   answerings[variant->answering], cuts[variant->segments],
                   variant->drip ? ", drip" : "",
                   variant->short_reads ? ", short reads" : "",
                   (unsigned long long)tap.seed, failure);
}

static bool
run_variant(const struct script *script, const struct variant *variant,
            const struct play *first, struct play *run, char *reason,
            size_t size)
{
    play(run, script, variant);
    if (first != NULL && run->host.failure[0] == '\0' &&
        !same_transcripts(first, run))
        host_fail(&run->host, "the transcript differs from the first");
    if (run->host.failure[0] == '\0')
        return true;
    describe(variant, run->host.failure, reason, size);
    return false;
}

/* Every combination; draining and reading by drops in every other one. */
static bool
run_variants(const struct script *script, bool exchange, char *reason,
             size_t size)
{
    static struct play first, run;
    struct variant variant = {
        .exchange = exchange, .seed = tap.seed,
        .answering = script->later ? ANSWER_LATER : ANSWER_BY_RETURN,
    };
    const unsigned kinds = (unsigned)ANSWER_MODES * (unsigned)SEGMENT_KINDS;
    bool ok = run_variant(script, &variant, NULL, &first, reason, size);
    unsigned i;

    for (i = 1; ok && i < kinds * 4; i++) {
        variant.answering = script->later
                                ? ANSWER_LATER
                                : (enum answering)(i % ANSWER_MODES);
        variant.segments =
            (enum segments)(i / ANSWER_MODES % SEGMENT_KINDS);
        variant.drip = i / kinds % 2 == 1;
        variant.short_reads = i / kinds >= 2;
        variant.seed = tap.seed + i;
        ok = run_variant(script, &variant, &first, &run, reason, size);
        play_free(&run);
    }
    play_free(&first);
    return ok;
}

static void
sweep(const struct script *script, const char *what,
      unsigned (*run)(const struct script *, bool, char *, size_t))
{
    char title[300], reason[1200] = "";
    unsigned runs = 1, all = 0;

    if (script->exchange)
        all += runs = run(script, true, reason, sizeof(reason));
    if (script->passwords && runs > 0)
        all += runs = run(script, false, reason, sizeof(reason));
    printf("# %u runs\n", all);
    (void)snprintf(title, sizeof(title), "%s: %s", script->title, what);
    result(runs > 0, title, reason);
}

static void
run_file(const char *path)
{
    struct script *script = script_read(path);
    char reason[1200] = "unreadable";
    bool ok;

    if (script == NULL) {
        result(false, path, reason);
        return;
    }
    ok = (!script->exchange ||
          run_variants(script, true, reason, sizeof(reason))) &&
         (!script->passwords ||
          run_variants(script, false, reason, sizeof(reason)));
    if (!ok)
        printf("# %s\n", path);
    result(ok, script->title, reason);
    if (ok && script->sweep) {
        sweep(script, "broken off behind every octet", sweep_octets);
        sweep(script, "broken off at every question", sweep_questions);
        sweep(script, "every allocation fails once", sweep_allocations);
    }
    script_free(script);
}

int
main(int argc, char **argv)
{
    const char *seed = getenv("DIALOG_SEED");
    glob_t files = { 0 };
    size_t i;
    int j;

    tap.seed = seed != NULL ? strtoull(seed, NULL, 10)
                            : (uint64_t)time(NULL) % 1000000;
    printf("# DIALOG_SEED=%llu\n", (unsigned long long)tap.seed);
    if (argc == 1 && glob("tests/dialog/*.dialog", 0, NULL, &files) != 0)
        printf("# no dialogues here\n");
    for (i = 0; i < files.gl_pathc; i++)
        run_file(files.gl_pathv[i]);
    for (j = 1; j < argc; j++)
        run_file(argv[j]);
    globfree(&files);
    printf("1..%u\n", tap.number);
    return tap.failed == 0 && tap.number > 0 ? 0 : 1;
}
