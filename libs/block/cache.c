#include "block/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/cache_internal.h"

/* ---- shared parts ---- */

struct mbx_shared *mbx_shared_create(struct mbx_directory *directory, struct mbx_part *part)
{
    struct mbx_shared *shared = calloc(1, sizeof(*shared));
    mrd_assert(shared != NULL);
    atomic_init(&shared->references, 1);
    shared->directory = directory;
    shared->part = part;
    shared->size = mrd_arena_used(directory != NULL ? directory->arena : part->arena);
    return shared;
}

struct mbx_shared *mbx_shared_ref(struct mbx_shared *shared)
{
    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return shared;
}

void mbx_shared_unref(struct mbx_shared **shared_at)
{
    struct mbx_shared *shared = MRD_MOVE(*shared_at);
    /* The last one to let go sees what the others have done before they did. */
    if (shared != NULL &&
        atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) == 1) {
        mbx_directory_destroy(&shared->directory);
        mbx_part_destroy(&shared->part);
        free(shared);
    }
}

uint64_t mrd_block_cache_mark(struct mrd_bytes block_id, uint32_t sidecar_crc32c)
{
    return mrd_hash64(block_id, (uint64_t)sidecar_crc32c << 32);
}

struct mrd_id128 mbx_cache_key(struct mrd_bytes block_id, uint32_t sidecar_crc32c, uint64_t piece)
{
    return (struct mrd_id128){
        .high = mrd_block_cache_mark(block_id, sidecar_crc32c),
        .low = mrd_hash64(block_id, (uint64_t)sidecar_crc32c << 32 ^ (piece + 1)),
    };
}

/* ---- least recently used ---- */

struct node {
    struct mrd_id128 key;
    uint64_t size;
    struct mbx_shared *shared; /* of the memory; NULL in the folder's */
    struct node *older, *newer;
    struct node *next; /* in its bucket */
};

struct lru {
    struct node **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    uint64_t size;
    uint64_t size_max;
    struct node *oldest, *newest;
};

static void lru_init(struct lru *lru, uint64_t size_max)
{
    *lru = (struct lru){.bucket_count = 1024, .size_max = size_max};
    lru->buckets = calloc(lru->bucket_count, sizeof(struct node *));
    mrd_assert(lru->buckets != NULL);
}

static struct node **lru_place(const struct lru *lru, struct mrd_id128 key)
{
    struct node **at = &lru->buckets[key.low & (lru->bucket_count - 1)];
    while (*at != NULL && !mrd_id128_equal((*at)->key, key)) {
        at = &(*at)->next;
    }
    return at;
}

static void lru_unlink(struct lru *lru, struct node *node)
{
    *(node->older != NULL ? &node->older->newer : &lru->oldest) = node->newer;
    *(node->newer != NULL ? &node->newer->older : &lru->newest) = node->older;
}

static void lru_push(struct lru *lru, struct node *node)
{
    node->older = lru->newest;
    node->newer = NULL;
    *(lru->newest != NULL ? &lru->newest->newer : &lru->oldest) = node;
    lru->newest = node;
}

static struct node *lru_find(struct lru *lru, struct mrd_id128 key)
{
    struct node *node = *lru_place(lru, key);
    if (node != NULL) {
        lru_unlink(lru, node);
        lru_push(lru, node);
    }
    return node;
}

static void lru_add(struct lru *lru, struct mrd_id128 key, uint64_t size, struct mbx_shared *shared)
{
    struct node *node = calloc(1, sizeof(*node));
    mrd_assert(node != NULL);
    *node = (struct node){.key = key, .size = size, .shared = shared};
    struct node **bucket = lru_place(lru, key);
    node->next = *bucket;
    *bucket = node;
    lru_push(lru, node);
    lru->size += size;
    lru->count++;
}

/* Takes the node out; the caller frees it. */
static void lru_take(struct lru *lru, struct node *node)
{
    *lru_place(lru, node->key) = node->next;
    lru_unlink(lru, node);
    lru->size -= node->size;
    lru->count--;
}

/* ---- the cache ---- */

struct mrd_block_cache {
    pthread_mutex_t lock; /* guards what follows, but the folder's name */
    struct lru memory;
    struct lru files;
    struct mrd_block_cache_stats stats;
    char *folder;
    struct mrd_counter *memory_hits, *folder_hits, *misses;
    struct mrd_gauge *memory_bytes, *folder_bytes;
};

static void file_name(const struct mrd_block_cache *cache, struct mrd_id128 key, char *out,
                      size_t size)
{
    (void)snprintf(out, size, "%s/%016" PRIx64 "%016" PRIx64 ".mbx", cache->folder, key.high,
                   key.low);
}

static void drop_file(struct mrd_block_cache *cache, struct node *node)
{
    char path[4096];
    lru_take(&cache->files, node);
    file_name(cache, node->key, path, sizeof(path));
    (void)unlink(path);
    free(node);
}

static void drop_memory(struct mrd_block_cache *cache, struct node *node)
{
    lru_take(&cache->memory, node);
    mbx_shared_unref(&node->shared);
    free(node);
}

static void make_room(struct mrd_block_cache *cache)
{
    while (cache->memory.size > cache->memory.size_max) {
        drop_memory(cache, cache->memory.oldest);
    }
    while (cache->files.size > cache->files.size_max) {
        drop_file(cache, cache->files.oldest);
    }
    cache->stats.memory_bytes = cache->memory.size;
    cache->stats.folder_bytes = cache->files.size;
    if (cache->memory_bytes != NULL) {
        mrd_gauge_set(cache->memory_bytes, (int64_t)cache->memory.size);
        mrd_gauge_set(cache->folder_bytes, (int64_t)cache->files.size);
    }
}

static bool key_of_name(const char *name, struct mrd_id128 *out)
{
    int end = 0;
    return strlen(name) == 36 &&
           sscanf(name, "%16" SCNx64 "%16" SCNx64 ".mbx%n", &out->high, &out->low, &end) == 2 &&
           end == 36;
}

/* What an earlier process has left is used again; temporary files of it are removed. */
static enum mrd_status adopt_folder(struct mrd_block_cache *cache, struct mrd_error *err)
{
    DIR *folder = opendir(cache->folder);
    if (folder == NULL) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "cache of sidecars %s", cache->folder);
    }
    const struct dirent *item;
    while ((item = readdir(folder)) != NULL) {
        struct mrd_id128 key;
        struct stat info;
        if (item->d_name[0] == '.') {
            if (strncmp(item->d_name, ".mbx-", 5) == 0) {
                (void)unlinkat(dirfd(folder), item->d_name, 0);
            }
            continue;
        }
        if (key_of_name(item->d_name, &key) &&
            fstatat(dirfd(folder), item->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(info.st_mode) && *lru_place(&cache->files, key) == NULL) {
            lru_add(&cache->files, key, (uint64_t)info.st_size, NULL);
        }
    }
    (void)closedir(folder);
    return MRD_OK;
}

static void register_metrics(struct mrd_block_cache *cache, struct mrd_metrics *metrics)
{
    static const char reads[] = "meridian_block_sidecar_reads_total";
    static const char help[] = "Parts of sidecars that were asked for, by where they were found.";
    static const char bytes[] = "meridian_block_sidecar_cache_bytes";
    static const char bytes_help[] = "Size of the cache of sidecars.";
    cache->memory_hits = mrd_metrics_counter(metrics, reads, help, MRD_LABELS({"from", "memory"}));
    cache->folder_hits = mrd_metrics_counter(metrics, reads, help, MRD_LABELS({"from", "folder"}));
    cache->misses = mrd_metrics_counter(metrics, reads, help, MRD_LABELS({"from", "store"}));
    cache->memory_bytes =
        mrd_metrics_gauge(metrics, bytes, bytes_help, MRD_LABELS({"in", "memory"}));
    cache->folder_bytes =
        mrd_metrics_gauge(metrics, bytes, bytes_help, MRD_LABELS({"in", "folder"}));
}

enum mrd_status mrd_block_cache_create(const struct mrd_block_cache_options *options,
                                       struct mrd_block_cache **out_cache, struct mrd_error *err)
{
    mrd_auto(mrd_block_cache_destroy)
    struct mrd_block_cache *cache = calloc(1, sizeof(*cache));
    mrd_assert(cache != NULL && pthread_mutex_init(&cache->lock, NULL) == 0);
    lru_init(&cache->memory, options->memory_bytes_max);
    lru_init(&cache->files, options->folder == NULL ? 0 : options->folder_bytes_max);
    if (options->metrics != NULL) {
        register_metrics(cache, options->metrics);
    }
    if (options->folder != NULL) {
        if (strlen(options->folder) > 4000) {
            return mrd_fail(err, MRD_E_INVALID, "a cache folder with a name of %zu bytes",
                            strlen(options->folder));
        }
        cache->folder = strdup(options->folder);
        mrd_assert(cache->folder != NULL);
        if (mkdir(cache->folder, 0700) != 0 && errno != EEXIST) {
            return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "cache of sidecars %s", cache->folder);
        }
        MRD_TRY(adopt_folder(cache, err));
        make_room(cache);
    }
    *out_cache = MRD_MOVE(cache);
    return MRD_OK;
}

void mrd_block_cache_destroy(struct mrd_block_cache **cache_at)
{
    struct mrd_block_cache *cache = MRD_MOVE(*cache_at);
    if (cache == NULL) {
        return;
    }
    while (cache->memory.oldest != NULL) {
        drop_memory(cache, cache->memory.oldest);
    }
    while (cache->files.oldest != NULL) { /* the files stay */
        struct node *node = cache->files.oldest;
        lru_take(&cache->files, node);
        free(node);
    }
    free(cache->memory.buckets);
    free(cache->files.buckets);
    free(cache->folder);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}

struct mrd_block_cache_stats mrd_block_cache_stats(struct mrd_block_cache *cache)
{
    (void)pthread_mutex_lock(&cache->lock);
    const struct mrd_block_cache_stats stats = cache->stats;
    (void)pthread_mutex_unlock(&cache->lock);
    return stats;
}

static int compare_marks(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool has_mark(const uint64_t *marks, size_t count, uint64_t mark)
{
    return count > 0 && bsearch(&mark, marks, count, sizeof(mark), compare_marks) != NULL;
}

void mrd_block_cache_retain(struct mrd_block_cache *cache, uint64_t *marks, size_t mark_count)
{
    if (mark_count > 0) {
        qsort(marks, mark_count, sizeof(*marks), compare_marks);
    }
    (void)pthread_mutex_lock(&cache->lock);
    for (struct node *node = cache->memory.oldest; node != NULL;) {
        struct node *newer = node->newer;
        if (!has_mark(marks, mark_count, node->key.high)) {
            drop_memory(cache, node);
        }
        node = newer;
    }
    for (struct node *node = cache->files.oldest; node != NULL;) {
        struct node *newer = node->newer;
        if (!has_mark(marks, mark_count, node->key.high)) {
            drop_file(cache, node);
        }
        node = newer;
    }
    make_room(cache);
    (void)pthread_mutex_unlock(&cache->lock);
}

static void count(uint64_t *stat, struct mrd_counter *counter)
{
    (*stat)++;
    if (counter != NULL) {
        mrd_counter_add(counter, 1);
    }
}

/* ---- memory ---- */

struct mbx_shared *mbx_cache_find(struct mrd_block_cache *cache, struct mrd_id128 key)
{
    if (cache == NULL) {
        return NULL;
    }
    (void)pthread_mutex_lock(&cache->lock);
    struct node *node = lru_find(&cache->memory, key);
    struct mbx_shared *shared = node == NULL ? NULL : mbx_shared_ref(node->shared);
    if (shared != NULL) {
        count(&cache->stats.memory_hits, cache->memory_hits);
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return shared;
}

void mbx_cache_keep(struct mrd_block_cache *cache, struct mrd_id128 key, struct mbx_shared *shared)
{
    if (cache == NULL || shared->size > cache->memory.size_max) {
        return;
    }
    (void)pthread_mutex_lock(&cache->lock);
    if (lru_find(&cache->memory, key) == NULL) { /* another thread may have been faster */
        lru_add(&cache->memory, key, shared->size, mbx_shared_ref(shared));
        make_room(cache);
    }
    (void)pthread_mutex_unlock(&cache->lock);
}

/* ---- folder ---- */

enum { READ_BYTES = 4 << 20 /* at once */ };

static bool read_file(const char *path, size_t size_max, const struct mrd_look *look,
                      struct mrd_buf *out)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0) {
        return false;
    }
    bool fine = fstat(fd, &info) == 0 && (uint64_t)info.st_size <= size_max;
    mrd_buf_clear(out);
    uint8_t *place = fine ? mrd_buf_reserve(out, (size_t)info.st_size + 1) : NULL;
    fine = place != NULL;
    while (fine && out->size < (size_t)info.st_size) {
        const size_t left = (size_t)info.st_size - out->size;
        const ssize_t got = read(fd, place + out->size, MRD_MIN(left, (size_t)READ_BYTES));
        fine = got > 0 || (got < 0 && errno == EINTR);
        out->size += got > 0 ? (size_t)got : 0;
        fine = fine && mrd_look(look, NULL) == MRD_OK;
    }
    (void)close(fd);
    return fine;
}

bool mbx_cache_load(struct mrd_block_cache *cache, struct mrd_id128 key, size_t size_max,
                    const struct mrd_look *look, struct mrd_buf *out)
{
    if (cache == NULL) {
        return false;
    }
    char path[4096];
    (void)pthread_mutex_lock(&cache->lock);
    bool found = lru_find(&cache->files, key) != NULL;
    (void)pthread_mutex_unlock(&cache->lock);
    if (found) {
        file_name(cache, key, path, sizeof(path));
        found = read_file(path, size_max, look, out);
    }
    (void)pthread_mutex_lock(&cache->lock);
    count(found ? &cache->stats.folder_hits : &cache->stats.misses,
          found ? cache->folder_hits : cache->misses);
    (void)pthread_mutex_unlock(&cache->lock);
    return found;
}

void mbx_cache_refuse(struct mrd_block_cache *cache, struct mrd_id128 key)
{
    if (cache == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&cache->lock);
    struct node *node = lru_find(&cache->files, key);
    if (node != NULL) {
        drop_file(cache, node);
        make_room(cache);
    }
    cache->stats.refused++;
    (void)pthread_mutex_unlock(&cache->lock);
}

static bool write_all(int fd, struct mrd_bytes bytes)
{
    while (bytes.size > 0) {
        const ssize_t done = write(fd, bytes.data, bytes.size);
        if (done < 0 && errno != EINTR) {
            return false;
        }
        bytes.data += done > 0 ? done : 0;
        bytes.size -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

/* Not synced: what a crash leaves half-written fails its CRC. A full disk only means that nothing is kept. */
static bool write_file(const struct mrd_block_cache *cache, struct mrd_id128 key,
                       struct mrd_bytes bytes)
{
    char path[4096];
    char temporary[4096 + 16];
    (void)snprintf(temporary, sizeof(temporary), "%s/.mbx-XXXXXX", cache->folder);
    const int fd = mkstemp(temporary);
    if (fd < 0) {
        return false;
    }
    file_name(cache, key, path, sizeof(path));
    bool fine = write_all(fd, bytes);
    fine &= close(fd) == 0;
    fine = fine && rename(temporary, path) == 0;
    if (!fine) {
        (void)unlink(temporary);
    }
    return fine;
}

void mbx_cache_store(struct mrd_block_cache *cache, struct mrd_id128 key, struct mrd_bytes bytes)
{
    if (cache == NULL || cache->folder == NULL || bytes.size > cache->files.size_max ||
        !write_file(cache, key, bytes)) {
        return;
    }
    (void)pthread_mutex_lock(&cache->lock);
    if (lru_find(&cache->files, key) == NULL) {
        lru_add(&cache->files, key, bytes.size, NULL);
        make_room(cache);
    }
    (void)pthread_mutex_unlock(&cache->lock);
}
