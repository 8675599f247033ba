/*
 * fuzz_index.c - the index of a maildir: a file that somebody has changed and
 * given true sums gives a list that can be used, or none.
 *
 * SPDX-License-Identifier: MIT
 */
/* For its sums; the rest of kpopd is linked. */
#include "plugin/host/kpopd/maildir_index.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The fuzzer's octets behind a head that fits them. */
static bool
make_head(struct maildir_head *head_out, const uint8_t *data, size_t size)
{
    size_t count;

    memset(head_out, 0, sizeof(*head_out));
    if (size < 2)
        return false;
    count = data[0] % 64;
    if (size - 2 < count * sizeof(struct disk_msg))
        return false;
    memcpy(head_out->magic, magic, sizeof(magic));
    head_out->layout = layout;
    head_out->sure = data[1] & 1;
    head_out->octets = data[1];
    head_out->count = count;
    head_out->text_len = size - 2 - count * sizeof(struct disk_msg);
    head_out->body_sum = sum(sum(2, data + 2, count * sizeof(struct disk_msg)),
                             data + 2 + count * sizeof(struct disk_msg),
                             head_out->text_len);
    head_out->head_sum = head_sum(head_out);
    return true;
}

static void
use_list(struct maildir_list *list)
{
    char uidl[KPOP_UIDL_MAX + 1];
    size_t i;

    for (i = 0; i < list->count; i++) {
        const struct maildir_msg *msg = &list->msgs[i];

        if (strlen(maildir_list_name(list, msg)) >= list->text_len)
            abort();
        if (i > 0)
            (void)maildir_list_order(list, msg - 1, list, msg);
        if (msg->unique_len <= strlen(maildir_list_name(list, msg)))
            maildir_list_uidl(list, msg, uidl);
    }
}

/* In TMPDIR, else in memory; gone at the end. */
static char path[4096];

static void
remove_index(void)
{
    unlink(path);
}

static int
make_index(void)
{
    const char *folder = getenv("TMPDIR");
    int fd;

    snprintf(path, sizeof(path), "%s/kpop-fuzz-index-XXXXXX",
             folder != NULL ? folder : "/dev/shm");
    fd = mkstemp(path);
    if (fd < 0 || atexit(remove_index) != 0)
        abort();
    return fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct maildir_head head;
    struct maildir_head read_head;
    struct maildir_list list;
    struct maildir_list other;

    if (fd < 0)
        fd = make_index();
    if (!make_head(&head, data, size))
        return 0;
    if (ftruncate(fd, 0) != 0
        || pwrite(fd, &head, sizeof(head), 0) != sizeof(head)
        || pwrite(fd, data + 2, size - 2, sizeof(head))
               != (ssize_t)(size - 2))
        abort();
    if (!maildir_index_head(path, &read_head))
        abort();
    if (maildir_index_list(path, &read_head, &list)) {
        use_list(&list);
        if (maildir_index_list(path, &read_head, &other)) {
            (void)maildir_index_sizes(path, &other);
            maildir_list_free(&other);
        }
    } else if (list.count != 0) {
        abort();
    }
    maildir_list_free(&list);
    return 0;
}
