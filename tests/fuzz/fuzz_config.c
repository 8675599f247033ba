/*
 * fuzz_config.c - the configuration file: any octets give settings or a
 * sentence.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plugin/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keyset keyset;
    struct filed *filed = NULL;
    char error[512] = "";
    char path[64];
    int fd = memfd_create("config", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (keyset_init(&keyset) != STATUS_OK)
        abort();
    if (keyset_read(&keyset, path, &filed, error, sizeof(error))
        == STATUS_OK)
        keyset_drop(&keyset, filed);
    else if (strstr(error, path) == NULL)
        abort();
    keyset_free(&keyset);
    close(fd);
    return 0;
}
