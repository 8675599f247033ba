/*
 * preload_pam.c - lets PAM read its services from $KPOP_TEST_PAM_D where a
 * container forbids to cover up /etc/pam.d.  Loaded by LD_PRELOAD into kpopd
 * and saslauthd by tests only; never installed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int access_fn(const char *, int);

__attribute__((visibility("default"))) int
pam_start(const char *service, const char *user,
          const struct pam_conv *conversation, pam_handle_t **handle_out)
{
    return pam_start_confdir(service, user, conversation,
                             getenv("KPOP_TEST_PAM_D"), handle_out);
}

/* kpopd looks for the service before it starts. */
__attribute__((visibility("default"))) int
access(const char *path, int mode)
{
    static const char real_folder[] = "/etc/pam.d/";
    const char *folder = getenv("KPOP_TEST_PAM_D");
    void *symbol = dlsym(RTLD_NEXT, "access");
    access_fn *real;
    char other[4096];

    memcpy(&real, &symbol, sizeof(symbol));
    if (folder != NULL
        && strncmp(path, real_folder, sizeof(real_folder) - 1) == 0) {
        (void)snprintf(other, sizeof(other), "%s/%s", folder,
                       path + sizeof(real_folder) - 1);
        path = other;
    }
    return real(path, mode);
}
