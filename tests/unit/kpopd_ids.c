/*
 * kpopd_ids.c - what every process of kpopd knows of itself.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/process.h"

#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/check.h"

TEST(child_does_not_go_by_the_id_of_its_parent)
{
    int status;
    pid_t pid;

    CHECK_INT(process_id(), getpid());
    CHECK_INT(process_id(), getpid());
    pid = process_fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(process_id() == getpid() ? 0 : 1);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    CHECK_INT(process_id(), getpid());
}

static const struct check_test tests[] = {
    T(child_does_not_go_by_the_id_of_its_parent),
};

int
main(int argc, char **argv)
{
    return check_main(argc, argv, "kpopd_ids", tests,
                      sizeof(tests) / sizeof(tests[0]));
}
