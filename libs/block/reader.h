/* reader.h: reads blocks: series by matchers and time for queries, all of them in order for merges, everything for
 * scrubbing.
 *
 * The sidecar says which pages of the data file have the samples of a series; only these are read, many at a time. It is
 * divided into parts of whole tenants: opening reads the directory, a part is read when one of its tenants is asked for.
 *
 * A rollup is read in the same way: its series have rows of windows instead of samples, of which only the columns that are wanted
 * are read; the range of a select is that of the windows' ends.
 *
 * Owner:   whoever opened a block closes it, after its cursors. Store, control and cache are lent until then; the entry for the
 *          call only.
 * Threads: an open block and its cursors belong to one thread at a time. Blocks opened apart, of one entry too, are
 *          independent and may share a cache.
 * Memory:  sidecar parts up to sidecar_bytes_max (parsed; those from the cache count too); a cursor its window, one decoded page of
 *          each column, and the series at hand up to series_bytes_max.
 * Errors:  MRD_E_CORRUPT names file and place, whatever the bytes are; MRD_E_NOT_FOUND if an object is gone (expired
 *          meanwhile: read the catalog again); MRD_E_LIMIT names the limit; those of the store as they come.
 */
#ifndef MRD_BLOCK_READER_H
#define MRD_BLOCK_READER_H

#include "block/cache.h"
#include "block/entry.h"
#include "block/series.h"
#include "model/erasure.h"
#include "objstore/store.h"
#include "rollup/columns.h"
#include "rollup/fold.h"
#include "rollup/grid.h"
#include "rollup/windows.h"

struct mrd_block;

struct mrd_block_open_options {
    const struct mrd_objstore_control *control; /* may be NULL; for all calls on the block */
    struct mrd_block_cache *cache;              /* may be NULL */
    size_t whole_bytes_max;                     /* a sidecar up to this is read at once; 0: 4 MiB */
    size_t sidecar_bytes_max;                   /* 0: 1 GiB */
};

MRD_MUST_CHECK enum mrd_status mrd_block_open(struct mrd_objstore *store,
                                              const struct mrd_block_entry *entry,
                                              const struct mrd_block_open_options *options,
                                              struct mrd_block **out_block, struct mrd_error *err);
void mrd_block_close(struct mrd_block **block);

/* The same block once more, for another thread: what is known of it is shared. As long as it has twins a block is asked for its tenants
 * only, and it is closed after them. Cost: an allocation. */
struct mrd_block *mrd_block_twin(const struct mrd_block *block);

/* ---- tenants ---- */

/* All tenants of the block by name; lives as long as the block. */
const struct mrd_block_tenant *mrd_block_tenants(const struct mrd_block *block, size_t *out_count);

/* ---- series ---- */

struct mrd_block_select {
    struct mrd_bytes tenant;            /* lent for the call */
    const struct mrd_matcher *matchers; /* all must accept; lent for the call */
    size_t matcher_count;
    /* Samples that one of them has are left out and counted (mrd_block_cursor_stats.erased), series without others are not yielded, nor
     * their labels; those of other tenants change nothing. Not of rollups. Lent until the cursor is closed. */
    const struct mrd_erasure *const *erasures;
    size_t erasure_count;
    mrd_time_ms min_ms; /* inclusive; series without a sample in it are not yielded */
    mrd_time_ms max_ms;
    /* Of a series' histograms that are up to this far before the range, the newest comes, too, of a series that has nothing else as well. Not with
     * want_hlc, pieces or labels_only, nor of rollups. */
    mrd_time_ms histograms_before_ms;
    /* Only series of this one of so many partitions (model/labels.h); 0: of all. Those of others may come nevertheless where there are
     * erasures. The others count for series_max. */
    uint32_t partition;
    uint32_t partition_count;
};

struct mrd_block_cursor_options {
    size_t
        window_bytes; /* of pages read at once; 0: 16 MiB. Those of one run are read whatever they take */
    size_t series_bytes_max;     /* decoded samples of one series; 0: 256 MiB */
    uint64_t series_max;         /* MRD_E_LIMIT if more match; 0: any number */
    bool want_hlc;               /* where the block keeps them */
    unsigned columns;            /* of a rollup: those wanted, bits of rollup/columns.h; 0: all */
    struct mrd_rollup_grid grid; /* of a rollup: the windows that are wanted; others are left out */
    struct mrd_rollup_edges
        edges; /* of a rollup: rows between two of them may come as one, those beside the grid too; the items are lent for the cursor's life */
    struct mrd_rollup_asked asked; /* of a rollup: rows come with these answers, if they can */
    /* No samples: nothing of the data file is read. Then a series may be yielded that has none in the range, although
     * its runs reach into it where nothing is erased. */
    bool labels_only;
    /* A series may come in several pieces of up to MRD_BLOCK_PAGE_ROWS samples, so that none is too large. */
    bool pieces;
    /* For a cursor that will be aimed again: where the window has room, pages that follow those of the selection are read as well. */
    bool ahead;
};

struct mrd_block_cursor;

/* Finds the series; reads no samples yet. A tenant that the block does not have gives none. */
MRD_MUST_CHECK enum mrd_status mrd_block_select(struct mrd_block *block,
                                                const struct mrd_block_select *select,
                                                const struct mrd_block_cursor_options *options,
                                                struct mrd_block_cursor **out_cursor,
                                                struct mrd_error *err);

/* Aims a cursor of a select at another selection of its block, as if it was made for that; what has been read and decoded serves
 * again. Who asks for the tenants in the order of the block, many small ones, reads and decodes each page once. */
MRD_MUST_CHECK enum mrd_status mrd_block_cursor_aim(struct mrd_block_cursor *cursor,
                                                    const struct mrd_block_select *select,
                                                    struct mrd_error *err);

/* All series of all tenants. */
MRD_MUST_CHECK enum mrd_status mrd_block_scan(struct mrd_block *block,
                                              const struct mrd_block_cursor_options *options,
                                              struct mrd_block_cursor **out_cursor,
                                              struct mrd_error *err);

/* How many series will come, of what is known now (of a scan: all). */
uint64_t mrd_block_cursor_series(const struct mrd_block_cursor *cursor);

/* The next series (or piece) in the order of series.h, cut to the range; *out_series is NULL after the last. What it
 * points to lives until the next call. */
MRD_MUST_CHECK enum mrd_status mrd_block_cursor_next(struct mrd_block_cursor *cursor,
                                                     const struct mrd_block_series **out_series,
                                                     struct mrd_error *err);
/* Likewise of a rollup's select: what *out_series points to lies in the arena, its labels in the block, and lives until the arena is reset
 * or the cursor closed. It has no id. */
MRD_MUST_CHECK enum mrd_status mrd_block_cursor_next_rows(struct mrd_block_cursor *cursor,
                                                          struct mrd_arena *arena,
                                                          struct mrd_block_series *out_series,
                                                          bool *out_more, struct mrd_error *err);
void mrd_block_cursor_close(struct mrd_block_cursor **cursor);

/* What reading has cost so far. */
struct mrd_block_cursor_stats {
    uint64_t ranges; /* asked of the store, before it merges neighbours */
    uint64_t bytes;
    uint64_t pages; /* decoded */
    uint64_t
        erased; /* samples and histograms of the range left out for erasures, of what the cursor is aimed at; not of labels_only */
};
struct mrd_block_cursor_stats mrd_block_cursor_stats(const struct mrd_block_cursor *cursor);

/* ---- labels ---- */

/* Takes one text, lent for the call; false ends the visit early (which then is MRD_OK). */
typedef bool mrd_block_text_visit(void *context, struct mrd_bytes text);

/* Names of labels, or values of one, of the series that select finds: sorted, each once. The range is looked at as with
 * labels_only. Cheap without matchers: a pass over the sidecar's names or values if the range covers the tenant's. */
MRD_MUST_CHECK enum mrd_status mrd_block_label_names(struct mrd_block *block,
                                                     const struct mrd_block_select *select,
                                                     mrd_block_text_visit *visit, void *context,
                                                     struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status mrd_block_label_values(struct mrd_block *block,
                                                      const struct mrd_block_select *select,
                                                      struct mrd_bytes name,
                                                      mrd_block_text_visit *visit, void *context,
                                                      struct mrd_error *err);

/* ---- scrubbing ---- */

struct mrd_block_verify_options {
    const struct mrd_objstore_control *control;
    size_t memory_bytes_max; /* 0: 1 GiB */
};

/* Reads every byte of both files: sizes and CRCs against the entry, every page's own CRC, and that data file, sidecar and entry
 * agree on pages, rows, series, times and counts. MRD_OK only if all of it is right; MRD_E_CORRUPT says what is not. */
MRD_MUST_CHECK enum mrd_status mrd_block_verify(struct mrd_objstore *store,
                                                const struct mrd_block_entry *entry,
                                                const struct mrd_block_verify_options *options,
                                                struct mrd_error *err);

#endif
