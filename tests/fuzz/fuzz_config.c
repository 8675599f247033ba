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
    struct settings settings;
    struct filed *filed = NULL;
    char error[512] = "";
    char path[64];
    int fd = memfd_create("config", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (settings_init(&settings) != STATUS_OK)
        abort();
    if (settings_read(&settings, path, &filed, error, sizeof(error))
        == STATUS_OK)
        settings_drop(&settings, filed);
    else if (strstr(error, path) == NULL)
        abort();
    settings_free(&settings);
    close(fd);
    return 0;
}
