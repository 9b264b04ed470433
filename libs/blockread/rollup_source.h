/* rollup_source.h: the rows of rollup blocks for the query engine (promql/coarse.h), beside a block source over the same state of
 * the catalog.
 *
 * Rows answer for a time if nothing but the blocks that they stand for can have samples in it (docs/formats/rollup.md):
 *
 *   - a rollup is taken if all of its parents, or none of them, are in the state;
 *   - and if neither it nor they owe an erasure (block_index.h): its rows may count what is erased;
 *   - where any other block of the tenant that the matchers allow has its samples, the samples are read;
 *   - heads are asked for the samples that they have in what is left: windows with any of them are read as samples;
 *   - rows are left out as rules of retention have it: each hides its series before a time of its own for each resolution. Where that is later than the time before
 *     which it hides their samples, what lies between is read as samples; where it is later than that of finer rows, these answer, as far as they are there;
 *   - nothing is known before the resolution's floor, which may be before that of samples, and where two rollups of different merges overlap by more than one window.
 *
 * Owner:   the query; the struct and what the options point to live as long as the source.
 * Threads: the query's thread; the block source's pool works for it.
 * Memory:  that of the block source's selects, and one series put together.
 * Errors:  as of block_source.h, and those of the heads.
 */
#ifndef MRD_BLOCKREAD_ROLLUP_SOURCE_H
#define MRD_BLOCKREAD_ROLLUP_SOURCE_H

#include "blockread/block_source.h"
#include "promql/coarse.h"
#include "promql/hidden.h"

enum { MRD_ROLLUP_SOURCE_RESOLUTIONS_MAX = 8 };

struct mrd_rollup_source_options {
    struct mrd_block_source *blocks; /* of the same state; complete */
    const struct mrd_source *heads;  /* NULL: there are none */
    /* Before which time rollups of a resolution are not used; NULL: the floor of the blocks, which is that of samples. */
    mrd_time_ms (*floor_ms)(const void *context, mrd_time_ms resolution_ms);
    const void *floor_context;
    struct mrd_hidden_rules hidden; /* what is hidden of samples */
    /* Before which time a rule hides rows of a resolution; INT64_MIN: none. NULL if there are no rules. */
    mrd_time_ms (*hidden_ms)(const void *context, size_t rule, mrd_time_ms resolution_ms);
    const void *hidden_context;
};

struct mrd_rollup_source {
    struct mrd_rollup_source_options options;
    mrd_time_ms resolutions_ms[MRD_ROLLUP_SOURCE_RESOLUTIONS_MAX];
    struct mrd_coarse coarse;
};

/* Fills in all but the options, and returns what the engine takes: lives as long as the struct. Cost: a look at each rollup of the tenant. */
const struct mrd_coarse *mrd_rollup_source_init(struct mrd_rollup_source *source);

#endif
