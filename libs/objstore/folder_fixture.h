/* folder_fixture.h: for tests: a store in a folder of its own, which goes with it.
 *
 * Include it before or after cmocka.h. Failures end the program: nothing can be tested without a folder.
 */
#ifndef MRD_OBJSTORE_FOLDER_FIXTURE_H
#define MRD_OBJSTORE_FOLDER_FIXTURE_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "objstore/file_store.h"

enum { FOLDER_FIXTURE_PATH_MAX = 64 };

/* Makes the folder below a base and fills in its path. The caller closes the store. */
static inline struct mrd_objstore *folder_fixture_open_in(const char *base,
                                                          char path[FOLDER_FIXTURE_PATH_MAX],
                                                          struct mrd_metrics *metrics)
{
    struct mrd_objstore *store = NULL;
    (void)snprintf(path, FOLDER_FIXTURE_PATH_MAX, "%s/mrd-objects-XXXXXX", base);
    mrd_assert(mkdtemp(path) != NULL);
    mrd_assert(mrd_file_store_open(path, metrics, &store, NULL) == MRD_OK);
    return store;
}

static inline struct mrd_objstore *folder_fixture_open(char path[FOLDER_FIXTURE_PATH_MAX],
                                                       struct mrd_metrics *metrics)
{
    return folder_fixture_open_in("/tmp", path, metrics);
}

/* For tests of many small objects: in memory where there is such a place, as every put waits for the disk else. */
static inline struct mrd_objstore *folder_fixture_open_small(char path[FOLDER_FIXTURE_PATH_MAX])
{
    return folder_fixture_open_in(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", path, NULL);
}

static inline int folder_fixture_remove_one(const char *path, const struct stat *info, int type,
                                            struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void folder_fixture_remove(const char *path)
{
    (void)nftw(path, folder_fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Turns bits of a byte of an object, as a bad disk does. */
static inline void folder_fixture_flip(const char *path, const char *key, size_t at, int bits)
{
    char name[1024];
    (void)snprintf(name, sizeof(name), "%s/%s", path, key);
    FILE *file = fopen(name, "r+b");
    mrd_assert(file != NULL && fseek(file, (long)at, SEEK_SET) == 0);
    const int byte = fgetc(file);
    mrd_assert(byte != EOF && fseek(file, (long)at, SEEK_SET) == 0);
    mrd_assert(fputc(byte ^ bits, file) == (byte ^ bits));
    mrd_assert(fclose(file) == 0);
}

#endif
