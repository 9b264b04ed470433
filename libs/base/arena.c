#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGN = 16, ARENA_PAGE_MIN = 4096, ARENA_PAGE_MAX = 1 << 20 };

struct arena_page {
    struct arena_page *next; /* older */
    size_t size;             /* of data[] */
    size_t used;
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

struct mrd_arena {
    const char *name;
    size_t limit_bytes;
    size_t used_bytes;
    size_t page_size_next;
    struct arena_page *page;  /* newest; allocations come from here */
    struct mrd_arena *parent; /* whose limit holds and where bytes count too; NULL: none */
    size_t children;          /* arenas that have this one as their parent */
};

struct mrd_arena *mrd_arena_create(const char *name, size_t limit_bytes)
{
    struct mrd_arena *arena = calloc(1, sizeof(*arena));
    mrd_assert(arena != NULL);
    arena->name = name;
    arena->limit_bytes = limit_bytes;
    arena->page_size_next = ARENA_PAGE_MIN;
    return arena;
}

struct mrd_arena *mrd_arena_create_within(struct mrd_arena *parent)
{
    struct mrd_arena *arena = mrd_arena_create(parent->name, parent->limit_bytes);
    arena->parent = parent;
    parent->children++;
    return arena;
}

/* Whether all whose budget it is can spare that much. */
static bool arena_has(const struct mrd_arena *arena, size_t size)
{
    for (; arena != NULL; arena = arena->parent) {
        if (size > arena->limit_bytes - MRD_MIN(arena->used_bytes, arena->limit_bytes)) {
            return false;
        }
    }
    return true;
}

static void arena_count(struct mrd_arena *arena, size_t size)
{
    for (; arena != NULL; arena = arena->parent) {
        arena->used_bytes += size;
    }
}

/* All that is in use is not any more, here and where it counts too. */
static void arena_uncount(struct mrd_arena *arena)
{
    const size_t used = arena->used_bytes;
    mrd_assert(arena->children == 0);
    for (; arena != NULL; arena = arena->parent) {
        mrd_assert(arena->used_bytes >= used);
        arena->used_bytes -= used;
    }
}

static bool arena_add_page(struct mrd_arena *arena, size_t size_min)
{
    const size_t size = MRD_MAX(size_min, arena->page_size_next);
    struct arena_page *page = malloc(sizeof(*page) + size);
    if (page == NULL) {
        return false;
    }
    page->next = arena->page;
    page->size = size;
    page->used = 0;
    arena->page = page;
    arena->page_size_next = MRD_MIN(arena->page_size_next * 2, (size_t)ARENA_PAGE_MAX);
    return true;
}

static void *arena_take(struct mrd_arena *arena, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX - ARENA_ALIGN) {
        return NULL;
    }
    const size_t size = (size_bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (!arena_has(arena, size)) {
        return NULL;
    }
    if (arena->page == NULL || arena->page->size - arena->page->used < size) {
        if (!arena_add_page(arena, size)) {
            return NULL;
        }
    }
    void *result = arena->page->data + arena->page->used;
    arena->page->used += size;
    arena_count(arena, size);
    return result;
}

void *mrd_arena_alloc(struct mrd_arena *arena, size_t size_bytes)
{
    void *result = arena_take(arena, size_bytes);
    if (result != NULL) {
        memset(result, 0, size_bytes);
    }
    return result;
}

void *mrd_arena_alloc_array(struct mrd_arena *arena, size_t count, size_t item_size_bytes)
{
    size_t size_bytes;
    if (__builtin_mul_overflow(count, item_size_bytes, &size_bytes)) {
        return NULL;
    }
    return arena_take(arena, size_bytes);
}

struct mrd_bytes mrd_arena_copy(struct mrd_arena *arena, struct mrd_bytes bytes)
{
    if (bytes.size == SIZE_MAX) {
        return (struct mrd_bytes){NULL, 0};
    }
    unsigned char *copy = arena_take(arena, bytes.size + 1);
    if (copy == NULL) {
        return (struct mrd_bytes){NULL, 0};
    }
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    copy[bytes.size] = 0;
    return (struct mrd_bytes){copy, bytes.size};
}

char *mrd_arena_printf(struct mrd_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    const int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = size < 0 ? NULL : arena_take(arena, (size_t)size + 1);
    if (text != NULL) {
        (void)vsnprintf(text, (size_t)size + 1, format, again);
    }
    va_end(again);
    return text;
}

enum mrd_status mrd_arena_fail(const struct mrd_arena *arena, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_LIMIT, "%s: memory limit of %zu bytes reached", arena->name,
                    arena->limit_bytes);
}

size_t mrd_arena_used(const struct mrd_arena *arena) { return arena->used_bytes; }

size_t mrd_arena_limit(const struct mrd_arena *arena) { return arena->limit_bytes; }

void mrd_arena_reset(struct mrd_arena *arena)
{
    arena_uncount(arena);
    while (arena->page != NULL && arena->page->next != NULL) {
        struct arena_page *page = arena->page;
        arena->page = page->next;
        free(page);
    }
    if (arena->page != NULL) {
        arena->page->used = 0;
    }
}

bool mrd_arena_join(struct mrd_arena *into, struct mrd_arena **from)
{
    struct mrd_arena *arena = *from;
    mrd_assert(arena->children == 0 && arena->parent == NULL);
    if (!arena_has(into, arena->used_bytes)) {
        return false;
    }
    arena_count(into, arena->used_bytes);
    /* Behind the newest page of `into`, so that this still serves; it is the last to go in a reset. */
    struct arena_page **end = into->page == NULL ? &into->page : &into->page->next;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = MRD_MOVE(arena->page);
    arena->used_bytes = 0;
    mrd_arena_destroy(from);
    return true;
}

void mrd_arena_destroy(struct mrd_arena **arena)
{
    if (*arena == NULL) {
        return;
    }
    arena_uncount(*arena);
    if ((*arena)->parent != NULL) {
        (*arena)->parent->children--;
    }
    while ((*arena)->page != NULL) {
        struct arena_page *page = (*arena)->page;
        (*arena)->page = page->next;
        free(page);
    }
    free(*arena);
    *arena = NULL;
}
