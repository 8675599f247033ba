/*
 * store.c - the box of a session is a struct maildir.  What is in memory is
 * answered at once; the rest becomes a job for the pool, one a session at a
 * time.  Runs with the rights of run_as.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/store.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/maildir.h"
#include "plugin/host/kpopd/pool.h"
#include "plugin/host/kpopd/worker.h"

/* One store call on its way; pointers are lent by the module until done. */
struct store_job {
    struct pool_job job; /* first */
    struct conn *conn;
    struct kpop_op *op;
    struct maildir *maildir;
    int32_t result;
    uint32_t first;      /* list; fetch: the message */
    uint32_t count;      /* list, commit; fetch: the size */
    uint64_t offset;
    void *buffer;
    const uint8_t *marks;
    char path[];         /* open */
};

static struct store_job *
new_job(struct conn *conn, struct kpop_op *op, struct maildir *maildir,
        const char *path)
{
    struct store_job *job = calloc(1, sizeof(*job) + strlen(path) + 1);

    if (job == NULL)
        return NULL;
    job->conn = conn;
    job->op = op;
    job->maildir = maildir;
    memcpy(job->path, path, strlen(path) + 1);
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

    job->result =
        maildir_open(job->path, job->conn->worker->setup->settings.index_dir,
                     job->conn->worker->api->wire_octets, &job->maildir);
}

static void
done_open(struct pool_job *pool_job)
{
    struct store_job *job = (struct store_job *)pool_job;
    const struct kpop_api *api = job->conn->worker->api;

    if (job->result == KPOP_OK) {
        job->result = api->put_box(job->op, job->maildir,
                                   maildir_count(job->maildir),
                                   maildir_total(job->maildir));
        if (job->result != KPOP_OK)
            maildir_close(job->maildir);
    }
    finish(pool_job);
}

int32_t
store_open(void *arg, struct kpop_op *op, const struct kpop_open *what)
{
    struct conn *conn = arg;
    const char *pattern = conn->worker->setup->settings.store;
    char path[PATH_MAX];
    char quoted[KPOP_USER_MAX * 4 + 8];
    struct store_job *job;
    int32_t rc = maildir_path(pattern, what->user, path, sizeof(path));

    if (rc != KPOP_OK) {
        log_event(KPOP_LOG_ERROR, "store.fail",
                  "session=%llx user=%s text=\"this name has no place in the "
                  "store's path\"",
                  (unsigned long long)conn->id,
                  log_quote(what->user, quoted, sizeof(quoted)));
        return rc;
    }
    job = new_job(conn, op, NULL, path);
    return job != NULL ? submit(job, run_open, done_open) : KPOP_NO_MEMORY;
}

/* ---- list ---- */

static int32_t
put_range(const struct conn *conn, struct kpop_op *op,
          struct maildir *maildir, uint32_t first, uint32_t count)
{
    const struct kpop_api *api = conn->worker->api;
    char uidl[KPOP_UIDL_MAX + 1];
    uint64_t octets = 0;
    int32_t rc = KPOP_OK;
    uint32_t i;

    for (i = 0; i < count && rc == KPOP_OK; i++) {
        rc = maildir_size(maildir, first + i, &octets);
        if (rc != KPOP_OK)
            return rc;
        maildir_uidl(maildir, first + i, uidl);
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
        job->result = maildir_size(job->maildir, job->first + i, &octets);
}

static void
done_list(struct pool_job *pool_job)
{
    struct store_job *job = (struct store_job *)pool_job;

    if (job->result == KPOP_OK)
        job->result = put_range(job->conn, job->op, job->maildir, job->first,
                                job->count);
    finish(pool_job);
}

int32_t
store_list(void *arg, struct kpop_op *op, void *box, uint32_t first,
           uint32_t count)
{
    struct conn *conn = arg;
    struct maildir *maildir = box;
    struct store_job *job;
    uint32_t i;

    if (first > maildir_count(maildir)
        || count > maildir_count(maildir) - first)
        return KPOP_INVALID;
    for (i = 0; i < count && maildir_size_is_known(maildir, first + i); i++)
        continue;
    if (i == count)
        return put_range(conn, op, maildir, first, count);
    job = new_job(conn, op, maildir, "");
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

    job->result = maildir_read(job->maildir, job->first, job->offset,
                               job->buffer, job->count);
}

int32_t
store_fetch(void *arg, struct kpop_op *op, void *box, uint32_t msg,
            uint64_t offset, void *buffer, uint32_t size, uint32_t flags)
{
    struct conn *conn = arg;
    struct maildir *maildir = box;
    struct store_job *job;
    int32_t rc;

    (void)flags; /* flags of messages are never set anyway */
    if (msg >= maildir_count(maildir))
        return KPOP_INVALID;
    rc = maildir_read_now(maildir, msg, offset, buffer, size);
    if (rc != KPOP_PENDING)
        return rc;
    job = new_job(conn, op, maildir, "");
    if (job == NULL)
        return KPOP_NO_MEMORY;
    job->first = msg;
    job->count = size;
    job->offset = offset;
    job->buffer = buffer;
    return submit(job, run_fetch, finish);
}

/* ---- commit and close ---- */

static void
run_commit(struct pool_job *pool_job)
{
    struct store_job *job = (struct store_job *)pool_job;

    job->result = maildir_commit(job->maildir, job->marks, job->count);
}

int32_t
store_commit(void *arg, struct kpop_op *op, void *box, const uint8_t *marks,
             uint32_t count)
{
    struct conn *conn = arg;
    struct maildir *maildir = box;
    struct store_job *job;
    uint32_t i;

    for (i = 0; i < count && (marks[i] & KPOP_MARK_DELETE) == 0; i++)
        continue;
    if (i == count)
        return KPOP_OK;
    job = new_job(conn, op, maildir, "");
    if (job == NULL)
        return KPOP_NO_MEMORY;
    job->marks = marks;
    job->count = count;
    return submit(job, run_commit, finish);
}

void
store_close(void *conn, void *box)
{
    (void)conn;
    maildir_close(box);
}
