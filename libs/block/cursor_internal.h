/* cursor_internal.h: a cursor: cursor.c walks series and plans windows, cursor_decode.c makes samples of pages, cursor_rollup.c rows. */
#ifndef MRD_BLOCK_CURSOR_INTERNAL_H
#define MRD_BLOCK_CURSOR_INTERNAL_H

#include "block/erased_internal.h"
#include "block/pages_internal.h"

/* A run of rows in the part at hand. */
struct mbx_position {
    uint32_t tenant;
    size_t series; /* of those to be visited */
    uint32_t segment;
};

/* What has been decoded of the series at hand. */
struct mbx_output {
    struct mrd_buf times, values, starts, hlcs;
    struct mrd_buf h_times, h_items, h_starts, h_hlcs;
    bool any_start, any_h_start;
    struct mrd_arena *arena; /* of histograms */
    size_t bytes_max;
};

/* Likewise of a rollup: all of it in an arena, whose owner says how long it lives. */
struct mbx_rollup_output {
    struct mrd_arena *arena;
    size_t arena_before; /* what was in it before the series */
    size_t capacity;     /* rows that the series has at most */
    size_t count;
    mrd_time_ms *ends_ms;
    int64_t *columns[MRD_ROW_COLUMNS];    /* NULL as long as no row has anything */
    const struct mrd_rollup_row **states; /* likewise */
    bool folded;                          /* all so far */
    /* runs before those rows of which answers alone are there */
    const struct mrd_rollup_columns *alone;
    struct mrd_rollup_columns *alone_last;
    size_t tail_edge; /* the edge at or after the last row */
    uint64_t made_of;
};

struct mbx_fold; /* of cursor_rollup_fold.c */

struct mrd_block_cursor {
    struct mrd_block *block;
    struct mrd_block_cursor_options options;
    mrd_time_ms min_ms;
    mrd_time_ms histograms_min_ms; /* this, or earlier */
    mrd_time_ms max_ms;
    struct mbx_pages pages;
    struct mbx_shared *part; /* NULL: none (any more) */
    bool scan;
    size_t part_next;          /* of a scan */
    uint32_t tenants_end;      /* in the part */
    struct mbx_numbers chosen; /* of a select */
    uint64_t series_count;
    struct mbx_erased erased;         /* of those */
    struct mbx_ranges erased_planned; /* of the series at the window's end, as it is planned */
    struct mbx_ranges erased_now;     /* of the series at hand */

    struct mbx_position at;
    struct mbx_position window_end;

    struct mrd_buf labels; /* struct mrd_label */
    struct mrd_buf canonical;
    struct mbx_output out;
    struct mbx_rollup_output rollup_out;
    struct mbx_fold *fold; /* NULL until rows are joined, or answered alone */
    mrd_time_ms *ends_ms;  /* of all windows that the block may have; NULL until they are needed */
    size_t ends_count;
    struct mrd_block_series series;
    /* What follows is not cleared when a cursor is made. */
    int64_t ts[8192];     /* of the run that is decoded, ms */
    uint16_t picks[8192]; /* its rows that are wanted */
};

static inline bool mbx_segment_meets(const struct mbx_segment *segment, mrd_time_ms min_ms,
                                     mrd_time_ms max_ms)
{
    return segment->first_ms <= max_ms && segment->last_ms >= min_ms;
}

static inline bool mbx_segment_wanted(const struct mrd_block_cursor *cursor,
                                      const struct mbx_segment *segment)
{
    const bool histograms = (segment->flags & MBX_HISTOGRAMS) != 0;
    return mbx_segment_meets(segment, histograms ? cursor->histograms_min_ms : cursor->min_ms,
                             cursor->max_ms);
}

/* Whether the run is left out as a whole, so that it need not be read. One that the range cuts is read: what it has is to be counted. */
static inline bool mbx_segment_gone(const struct mrd_block_cursor *cursor,
                                    const struct mbx_ranges *erased,
                                    const struct mbx_segment *segment)
{
    return erased->count > 0 && segment->first_ms >= cursor->min_ms &&
           segment->last_ms <= cursor->max_ms &&
           mbx_ranges_cover(erased, segment->first_ms, segment->last_ms);
}

/* Columns of which a run needs its page: bits of enum mbx_leaf. */
unsigned mbx_segment_leaves(const struct mrd_block_cursor *cursor,
                            const struct mbx_segment *segment);

/* Appends the samples of a run that are in the range and not erased; its pages are fetched. */
MRD_MUST_CHECK enum mrd_status mbx_segment_decode(struct mrd_block_cursor *cursor,
                                                  const struct mbx_segment *segment,
                                                  struct mrd_error *err);

/* What is to be read of the columns that are wanted: extremes only where the block has values that are not small. */
unsigned mbx_rollup_columns(const struct mrd_block_entry *entry, unsigned wanted);
unsigned mbx_rollup_leaves(const struct mrd_block_cursor *cursor,
                           const struct mbx_segment *segment);
MRD_MUST_CHECK enum mrd_status mbx_rollup_decode(struct mrd_block_cursor *cursor,
                                                 const struct mbx_segment *segment,
                                                 struct mrd_error *err);
/* How many rows of a run may be wanted at most. */
size_t mbx_rollup_rows_max(const struct mrd_block_cursor *cursor,
                           const struct mbx_segment *segment);
void mbx_fold_destroy(struct mbx_fold **fold);
void mbx_rollup_output_begin(struct mbx_rollup_output *out, struct mrd_arena *arena,
                             size_t capacity);
/* In the arena, with the answers that are asked for. */
MRD_MUST_CHECK enum mrd_status mbx_rollup_output_view(const struct mbx_rollup_output *out,
                                                      const struct mrd_rollup_asked *asked,
                                                      const struct mrd_rollup_columns **out_view,
                                                      struct mrd_error *err);

void mbx_output_clear(struct mbx_output *out);
void mbx_output_fini(struct mbx_output *out);

#endif
