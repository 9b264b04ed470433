/* arena.h: memory for one unit of work, released all at once. A request, a query or a compaction
 * step creates an arena, passes it down and destroys it at the end; nothing is freed by itself.
 * Owner:   whoever created it. A pointer taken from it is valid exactly as long as the arena.
 * Threads: one at a time. Hand the whole arena to another thread, never a pointer into it.
 * Limits:  limit_bytes bounds the sum of all allocations. It is the tenant's budget for this work,
 *          so running out is an answer (MRD_E_LIMIT), not a crash.
 */
#ifndef MRD_BASE_ARENA_H
#define MRD_BASE_ARENA_H

#include "base/bytes.h"
#include "base/status.h"

struct mrd_arena;

/* Creates an empty arena; `name` (static storage) labels it in error texts. Never NULL. */
struct mrd_arena *mrd_arena_create(const char *name, size_t limit_bytes);

/* An arena whose allocations count as the parent's as well, against the parent's limit: for what one part of the work
 * drops again and again. Its fate is its own, but it is destroyed before the parent is reset or destroyed (asserts),
 * and used by the parent's thread. */
struct mrd_arena *mrd_arena_create_within(struct mrd_arena *parent);

/* Returns size_bytes zeroed bytes, aligned for any type, or NULL if that would pass the limit; the
 * arena is unchanged then. Cost: a pointer bump and the zeroing, a page now and then. */
MRD_MUST_CHECK void *mrd_arena_alloc(struct mrd_arena *arena, size_t size_bytes);

/* Like mrd_arena_alloc for count * item_size bytes with an overflow check; not zeroed. */
MRD_MUST_CHECK void *mrd_arena_alloc_array(struct mrd_arena *arena, size_t count,
                                           size_t item_size_bytes);

/* Copies bytes into the arena (and a NUL behind them, not counted). data is NULL on failure. */
MRD_MUST_CHECK struct mrd_bytes mrd_arena_copy(struct mrd_arena *arena, struct mrd_bytes bytes);

/* printf into the arena; NULL if over the limit. */
MRD_MUST_CHECK char *mrd_arena_printf(struct mrd_arena *arena, const char *format, ...)
    MRD_PRINTF(2, 3);

/* Fills err with "<name>: memory limit of N bytes reached"; returns MRD_E_LIMIT. */
enum mrd_status mrd_arena_fail(const struct mrd_arena *arena, struct mrd_error *err);

/* Bytes handed out so far (with alignment; those of arenas within it included), and the limit. */
size_t mrd_arena_used(const struct mrd_arena *arena);
size_t mrd_arena_limit(const struct mrd_arena *arena);

/* Forgets all allocations but keeps the first page for the next unit of work. */
void mrd_arena_reset(struct mrd_arena *arena);

/* All that came from *from (which has no arenas within it) lies in `into` from now on; *from is gone, NULL. False, and nothing has
 * changed, if that would pass the limit. */
MRD_MUST_CHECK bool mrd_arena_join(struct mrd_arena *into, struct mrd_arena **from);

/* Frees the arena and all that came from it and sets *arena to NULL. *arena may be NULL. */
void mrd_arena_destroy(struct mrd_arena **arena);

#endif
