/*
 * replay.c - main() of a fuzzer that has no engine: each seed, once.  So every
 * build compiles the fuzzers, and what they found once stays found.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a block of its own size, so that a sanitizer sees who reads behind it. */
static int
play(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;

    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0)
        data = malloc(size > 0 ? (size_t)size : 1);
    if (data == NULL || fseek(file, 0, SEEK_SET) != 0
        || fread(data, 1, (size_t)size, file) != (size_t)size) {
        printf("not ok 1 - %s: %s\n", path, strerror(errno));
        exit(1);
    }
    fclose(file);
    (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return 1;
}

/* Those of the folder tests/fuzz/seeds/NAME, if there is one; their number. */
static int
play_all(const char *name)
{
    char path[512];
    struct dirent *entry;
    DIR *dir;
    int count = 0;

    snprintf(path, sizeof(path), "tests/fuzz/seeds/%s", name);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "tests/fuzz/seeds/%s/%s", name,
                 entry->d_name);
        count += play(path);
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

int
main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : "";
    int count;

    printf("1..1\n");
    fflush(stdout);
    count = play_all(name);
    printf(count > 0 ? "ok 1 - %s: %d inputs\n"
                     : "not ok 1 - %s: %d inputs in tests/fuzz/seeds\n",
           name, count);
    return count > 0 ? 0 : 1;
}
