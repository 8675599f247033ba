/*
 * store.c - the box of a session is a struct box.  What is in memory is
 * answered at once; the rest becomes a job for the pool, one a session at a
 * time.  Runs with the rights of run_as.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/store.h"

#include <limits.h>
#include <stdlib.h>

#include "plugin/host/kpopd/box.h"
#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/metrics.h"
#include "plugin/host/kpopd/pool.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/sdps.h"
#include "plugin/host/kpopd/worker.h"

/* One store call on its way; pointers are lent by the module until done. */
struct store_job {
    struct pool_job job; /* first */
    struct conn *conn;
    struct kpop_op *op;
    struct box *box;
    uint64_t since;      /* open, commit: microseconds */
    int32_t result;
    uint32_t first;      /* list; fetch: the message */
    uint32_t count;      /* list, commit; fetch: the size */
    uint64_t offset;
    void *buffer;
    const uint8_t *marks;
};

static struct store_job *
new_job(struct conn *conn, struct kpop_op *op, struct box *box)
{
    struct store_job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->conn = conn;
    job->op = op;
    job->box = box;
    job->since = process_micros();
    return job;
}

static int32_t
submit(struct store_job *job, void (*run)(struct pool_job *job),
       void (*done)(struct pool_job *job))
{
    job->job.run = run;
    job->job.done = done;
    if (pool_submit(job->conn->worker->pool, &job->job) != 0) {
        free(job);
        return KPOP_TEMP;
    }
    conn_hold(job->conn);
    return KPOP_PENDING;
}

static void
finish(struct pool_job *pool_job)
{
    struct store_job *job = (struct store_job *)pool_job;
    struct conn *conn = job->conn;
    struct kpop_op *op = job->op;
    int32_t result = job->result;

    free(job);
    conn_answer(conn, op, result);
}

/* ---- open ---- */

static void
run_open(struct pool_job *pool_job)
{
    struct store_job *job = (struct store_job *)pool_job;

    job->result = box_open(job->box, job->conn->worker->api->wire_octets);
}

/* Gives the session its box, or frees it. */
static int32_t
give_box(const struct conn *conn, struct kpop_op *op, struct box *box,
         int32_t result, uint64_t since)
{
    /* Once it was put, the module closes it, also after an error. */
    if (result == KPOP_OK)
        result = conn->worker->api->put_box(op, box, box_count(box),
                                            box_total(box));
    else
        box_free(box);
    metrics_note_store(STORE_OPEN, result, process_micros() - since);
    return result;
}

static void
done_open(struct pool_job *pool_job)
{
    struct store_job *job = (struct store_job *)pool_job;

    job->result =
        give_box(job->conn, job->op, job->box, job->result, job->since);
    finish(pool_job);
}

/* Most maildrops are those of the last minutes, and in memory. */
static int32_t
open_now(const struct conn *conn, struct kpop_op *op, struct box *box)
{
    const uint64_t since = process_micros();
    int32_t rc = box_open_now(box, conn->worker->api->wire_octets);

    return rc == KPOP_PENDING ? rc : give_box(conn, op, box, rc, since);
}

int32_t
store_open(void *arg, struct kpop_op *op, const struct kpop_open *what)
{
    struct conn *conn = arg;
    const struct settings *s = &conn->worker->setup->settings;
    char path[PATH_MAX];
    char quoted[KPOP_USER_MAX * 4 + 8];
    struct store_job *job;
    struct box *box;
    int32_t rc = maildir_path(s->store, what->user, path, sizeof(path));

    if (rc != KPOP_OK) {
        log_event(KPOP_LOG_ERROR, "store.fail",
                  "session=%llx user=%s text=\"this name has no place in the "
                  "store's path\"",
                  (unsigned long long)conn->id,
                  log_quote(what->user, quoted, sizeof(quoted)));
        return rc;
    }
    rc = conn_note_open(conn, what);
    if (rc != KPOP_OK)
        return rc;
    box = box_new(s, path, what->user, what->requested);
    if (box == NULL)
        return KPOP_NO_MEMORY;
    rc = open_now(conn, op, box);
    if (rc != KPOP_PENDING)
        return rc;
    job = new_job(conn, op, box);
    rc = job != NULL ? submit(job, run_open, done_open) : KPOP_NO_MEMORY;
    if (rc != KPOP_PENDING)
        box_free(box);
    return rc;
}

/* ---- list ---- */

static int32_t
put_range(const struct conn *conn, struct kpop_op *op, struct box *box,
          uint32_t first, uint32_t count)
{
    const struct kpop_api *api = conn->worker->api;
    char uidl[KPOP_UIDL_MAX + 1];
    uint64_t octets = 0;
    int32_t rc = KPOP_OK;
    uint32_t i;

    for (i = 0; i < count && rc == KPOP_OK; i++) {
        rc = box_size(box, first + i, &octets);
        if (rc != KPOP_OK)
            return rc;
        box_uidl(box, first + i, uidl);
        rc = api->put_msg(op, octets, uidl);
    }
    return rc;
}

static void
run_list(struct pool_job *pool_job)
{
    struct store_job *job = (struct store_job *)pool_job;
    uint64_t octets;
    uint32_t i;

    for (i = 0; i < job->count && job->result == KPOP_OK; i++)
        job->result = box_size(job->box, job->first + i, &octets);
    box_rest(job->box);
}

static void
done_list(struct pool_job *pool_job)
{
    struct store_job *job = (struct store_job *)pool_job;

    if (job->result == KPOP_OK)
        job->result = put_range(job->conn, job->op, job->box, job->first,
                                job->count);
    finish(pool_job);
}

int32_t
store_list(void *arg, struct kpop_op *op, void *box_arg, uint32_t first,
           uint32_t count)
{
    struct conn *conn = arg;
    struct box *box = box_arg;
    struct store_job *job;
    uint32_t i;

    if (first > box_count(box) || count > box_count(box) - first)
        return KPOP_INVALID;
    for (i = 0; i < count && box_size_is_known(box, first + i); i++)
        continue;
    if (i == count)
        return put_range(conn, op, box, first, count);
    job = new_job(conn, op, box);
    if (job == NULL)
        return KPOP_NO_MEMORY;
    job->first = first;
    job->count = count;
    return submit(job, run_list, done_list);
}

/* ---- fetch ---- */

static void
run_fetch(struct pool_job *pool_job)
{
    struct store_job *job = (struct store_job *)pool_job;

    job->result = box_read(job->box, job->first, job->offset, job->buffer,
                           job->count);
}

int32_t
store_fetch(void *arg, struct kpop_op *op, void *box_arg, uint32_t msg,
            uint64_t offset, void *buffer, uint32_t size, uint32_t flags)
{
    struct conn *conn = arg;
    struct box *box = box_arg;
    struct store_job *job;
    int32_t rc;

    (void)flags; /* flags of messages are never set anyway */
    if (msg >= box_count(box))
        return KPOP_INVALID;
    rc = box_read_now(box, msg, offset, buffer, size);
    if (rc != KPOP_PENDING)
        return rc;
    job = new_job(conn, op, box);
    if (job == NULL)
        return KPOP_NO_MEMORY;
    job->first = msg;
    job->count = size;
    job->offset = offset;
    job->buffer = buffer;
    return submit(job, run_fetch, finish);
}

/* ---- envelope ---- */

/* All of them were read by open. */
int32_t
store_envelope(void *arg, struct kpop_op *op, void *box, uint32_t msg)
{
    const struct conn *conn = arg;
    const struct envelope *envelope =
        msg < box_count(box) ? box_envelope(box, msg) : NULL;

    if (envelope == NULL)
        return KPOP_PERM;
    return conn->worker->api->put_envelope(op, envelope->sender,
                                           envelope->recipient);
}

/* ---- commit and close ---- */

static void
run_commit(struct pool_job *pool_job)
{
    struct store_job *job = (struct store_job *)pool_job;

    job->result = box_commit(job->box, job->marks, job->count);
}

static void
done_commit(struct pool_job *pool_job)
{
    const struct store_job *job = (struct store_job *)pool_job;

    metrics_note_store(STORE_COMMIT, job->result,
                       process_micros() - job->since);
    finish(pool_job);
}

int32_t
store_commit(void *arg, struct kpop_op *op, void *box, const uint8_t *marks,
             uint32_t count)
{
    struct conn *conn = arg;
    struct store_job *job;

    if (!box_must_commit(box, marks, count))
        return KPOP_OK;
    job = new_job(conn, op, box);
    if (job == NULL)
        return KPOP_NO_MEMORY;
    job->marks = marks;
    job->count = count;
    return submit(job, run_commit, done_commit);
}

void
store_close(void *conn, void *box)
{
    (void)conn;
    box_free(box);
}
