#include "base/pool.h"

#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISON 1
#endif
#endif
#ifdef POOL_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(data, size) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(data, size) ((void)0)
#endif

enum {
    PAGE_SIZE = 65536,
    PAGE_UNITS = PAGE_SIZE / MRD_POOL_UNIT,
    PAGE_SPARE_MIN = 32,
    PAGE_SPARE_SHARE =
        8, /* of all pages one in so many may be spare: giving back splits huge pages */
    CLASS_LARGE = MRD_POOL_CLASS_COUNT,
    CLASS_SPARE,
    CLASS_DISCARDED, /* spare, and its memory given back */
};
#define POOL_SIZE_MAX ((size_t)UINT32_MAX * MRD_POOL_UNIT / PAGE_SIZE * PAGE_SIZE)

/* Lists hold page numbers; page 0 is never used, so 0 ends a list (and no handle is 0). */
struct pool_page {
    uint32_t next;
    uint32_t previous;
    uint16_t free;   /* 1 + number of the first free block; 0: none */
    uint16_t live;   /* blocks in use; of a large block: pages, in its first one */
    uint16_t carved; /* blocks ever handed out; those behind are untouched */
    uint16_t class;
};

static inline unsigned class_of(size_t size_bytes)
{
    if (size_bytes <= 128) {
        return (unsigned)((size_bytes + 7) / 8 - 1);
    }
    if (size_bytes <= 1024) {
        return (unsigned)(16 + (size_bytes - 128 + 15) / 16 - 1);
    }
    return (unsigned)(72 + (size_bytes - 1024 + 63) / 64 - 1);
}

static inline size_t class_size(unsigned class)
{
    if (class < 16) {
        return (class + 1) * 8;
    }
    return class < 72 ? 128 + (class - 15) * 16 : 1024 + (class - 71) * 64;
}

size_t mrd_pool_rounded(size_t size_bytes)
{
    if (size_bytes > MRD_POOL_SMALL_MAX) {
        return (size_bytes + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
    }
    return class_size(class_of(size_bytes));
}

static inline struct pool_page *page_at(const struct mrd_pool *pool, uint32_t number)
{
    return (struct pool_page *)(void *)pool->pages.base + number;
}
static inline uint8_t *page_data(const struct mrd_pool *pool, uint32_t number)
{
    return pool->memory.base + (size_t)number * PAGE_SIZE;
}

enum mrd_status mrd_pool_init(struct mrd_pool *pool, struct mrd_error *err)
{
    memset(pool, 0, sizeof(*pool));
    MRD_TRY(mrd_region_init(&pool->memory, POOL_SIZE_MAX, err));
    const enum mrd_status status =
        mrd_region_init(&pool->pages, POOL_SIZE_MAX / PAGE_SIZE * sizeof(struct pool_page), err);
    if (status != MRD_OK) {
        mrd_region_fini(&pool->memory);
        return status;
    }
    pool->page_count = 1;
    return MRD_OK;
}

void mrd_pool_fini(struct mrd_pool *pool)
{
    if (pool->memory.base != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(pool->memory.base, pool->memory.size_bytes);
    }
    mrd_region_fini(&pool->memory);
    mrd_region_fini(&pool->pages);
}

/* ---- pages ---- */

static void list_add(struct mrd_pool *pool, uint32_t *list, uint32_t number)
{
    struct pool_page *page = page_at(pool, number);
    page->previous = 0;
    page->next = *list;
    if (*list != 0) {
        page_at(pool, *list)->previous = number;
    }
    *list = number;
}

static void list_remove(struct mrd_pool *pool, uint32_t *list, uint32_t number)
{
    struct pool_page *page = page_at(pool, number);
    if (page->next != 0) {
        page_at(pool, page->next)->previous = page->previous;
    }
    if (page->previous != 0) {
        page_at(pool, page->previous)->next = page->next;
    } else {
        *list = page->next;
    }
}

static uint32_t add_pages(struct mrd_pool *pool, uint32_t count)
{
    const uint32_t first = pool->page_count;
    pool->page_count += count;
    mrd_region_grow(&pool->memory, (size_t)pool->page_count * PAGE_SIZE);
    mrd_region_grow(&pool->pages, pool->page_count * sizeof(struct pool_page));
    return first;
}

static uint32_t take_page(struct mrd_pool *pool)
{
    const uint32_t number = pool->page_spare;
    if (number == 0) {
        return add_pages(pool, 1);
    }
    list_remove(pool, &pool->page_spare, number);
    if (page_at(pool, number)->class == CLASS_SPARE) {
        pool->page_spare_usable--;
    }
    return number;
}

static void give_page(struct mrd_pool *pool, uint32_t number)
{
    struct pool_page *page = page_at(pool, number);
    ASAN_POISON_MEMORY_REGION(page_data(pool, number), PAGE_SIZE);
    const uint32_t spare_max =
        MRD_MAX(pool->page_count / PAGE_SPARE_SHARE, (uint32_t)PAGE_SPARE_MIN);
    if (pool->page_spare_usable < spare_max) {
        page->class = CLASS_SPARE;
        pool->page_spare_usable++;
    } else {
        page->class = CLASS_DISCARDED;
        mrd_region_discard(&pool->memory, (size_t)number * PAGE_SIZE, PAGE_SIZE);
    }
    list_add(pool, &pool->page_spare, number);
}

/* ---- blocks ---- */

static mrd_pool_handle large_alloc(struct mrd_pool *pool, size_t size_bytes)
{
    const size_t size = mrd_pool_rounded(size_bytes);
    const size_t count = size / PAGE_SIZE;
    mrd_assert(count <= UINT16_MAX);
    const uint32_t number = count == 1 ? take_page(pool) : add_pages(pool, (uint32_t)count);
    struct pool_page *page = page_at(pool, number);
    page->class = CLASS_LARGE;
    page->live = (uint16_t)count;
    pool->used_bytes += size;
    pool->held_bytes += size;
    ASAN_UNPOISON_MEMORY_REGION(page_data(pool, number), size);
    return number * PAGE_UNITS;
}

static void large_free(struct mrd_pool *pool, uint32_t number, size_t size_bytes)
{
    const size_t size = mrd_pool_rounded(size_bytes);
    const uint16_t count = page_at(pool, number)->live;
    mrd_assert(page_at(pool, number)->class == CLASS_LARGE && count == size / PAGE_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        give_page(pool, number + i);
    }
    pool->used_bytes -= size;
    pool->held_bytes -= size;
}

static uint32_t open_page(struct mrd_pool *pool, unsigned class)
{
    const uint32_t number = take_page(pool);
    struct pool_page *page = page_at(pool, number);
    page->free = 0;
    page->live = 0;
    page->carved = 0;
    page->class = (uint16_t) class;
    list_add(pool, &pool->page_open[class], number);
    return number;
}

mrd_pool_handle mrd_pool_alloc(struct mrd_pool *pool, size_t size_bytes)
{
    mrd_assert(size_bytes > 0);
    if (mrd_unlikely(size_bytes > MRD_POOL_SMALL_MAX)) {
        return large_alloc(pool, size_bytes);
    }
    const unsigned class = class_of(size_bytes);
    const size_t size = class_size(class);
    uint32_t number = pool->page_open[class];
    if (mrd_unlikely(number == 0)) {
        number = open_page(pool, class);
    }
    struct pool_page *page = page_at(pool, number);
    uint8_t *block;
    if (page->free != 0) {
        block = page_data(pool, number) + (size_t)(page->free - 1) * size;
        ASAN_UNPOISON_MEMORY_REGION(block, size);
        memcpy(&page->free, block, sizeof(page->free));
    } else {
        block = page_data(pool, number) + page->carved * size;
        ASAN_UNPOISON_MEMORY_REGION(block, size);
        page->carved++;
        pool->held_bytes += size;
    }
    page->live++;
    if (page->free == 0 && (page->carved + 1U) * size > PAGE_SIZE) {
        list_remove(pool, &pool->page_open[class], number); /* full */
    }
    pool->used_bytes += size;
    return (mrd_pool_handle)((size_t)(block - pool->memory.base) / MRD_POOL_UNIT);
}

void mrd_pool_free(struct mrd_pool *pool, mrd_pool_handle handle, size_t size_bytes)
{
    const uint32_t number = handle / PAGE_UNITS;
    if (mrd_unlikely(size_bytes > MRD_POOL_SMALL_MAX)) {
        large_free(pool, number, size_bytes);
        return;
    }
    const unsigned class = class_of(size_bytes);
    const size_t size = class_size(class);
    struct pool_page *page = page_at(pool, number);
    mrd_assert(page->class == class && page->live > 0);
    const bool was_full = page->free == 0 && (page->carved + 1U) * size > PAGE_SIZE;
    uint8_t *block = mrd_pool_at(pool, handle);
    memcpy(block, &page->free, sizeof(page->free));
    ASAN_POISON_MEMORY_REGION(block, size);
    page->free = (uint16_t)(1 + (size_t)(block - page_data(pool, number)) / size);
    page->live--;
    pool->used_bytes -= size;
    if (page->live > 0) {
        if (was_full) {
            list_add(pool, &pool->page_open[class], number);
        }
        return;
    }
    if (!was_full) {
        list_remove(pool, &pool->page_open[class], number);
    }
    pool->held_bytes -= page->carved * size;
    give_page(pool, number);
}
