/* builder.h: one partition's log, batch after batch, into blocks of level 0: one for each residency class of a range of sequences.
 *
 *     cmp_builder_begin(builder, built + 1);
 *     while (...) { cmp_builder_take(builder, &position, message, &err); if (cmp_builder_full(builder)) break; }
 *     cmp_builder_write(builder, ...);      // then commit; after that or after losing the race:
 *     cmp_builder_begin(builder, built + 1);
 *
 * Batches before the range are taken too: for what they announce, and for their numbers. What a block contains is a function
 * of the batches of its range and of the announcements that they name, and so is its name: whoever builds the
 * range again (on the same day) writes the same objects, and whoever builds another content writes others.
 *
 * Erasures that the log has (model/erasure.h) are applied where they stand: what of the range is before them is left out, and what comes
 * behind them is, if it is stamped before them; for that, those of the batches before the range count too, and those that the catalog knows
 * (cmp_builder_follow): the log may have dropped them. Blocks that were built before are not touched.
 *
 * Blocks have samples, start times and native histograms, with the stamps of all writes. Exemplars and metadata are not in blocks.
 *
 * Owner:   whoever created it.
 * Threads: one at a time.
 * Memory:  limits.memory_bytes_max for a range, half of it for its writes, half for the writer of a block; in addition the
 *          reference tables and labels of the series that the last label epochs named (cmp_builder_memory).
 */
#ifndef CMP_BUILDER_H
#define CMP_BUILDER_H

#include "base/metrics.h"
#include "block/entry.h"
#include "model/erasure.h"
#include "objstore/store.h"
#include "wire/references.h"

/* Keys of the blocks of level 0 begin with it. */
#define CMP_BLOCKS_PREFIX "blocks/l0"

struct cmp_builder;

/* What has happened, of all builders of the process. */
struct cmp_build_figures {
    struct mrd_counter *batches;
    struct mrd_counter *samples;    /* written to blocks, histograms included */
    struct mrd_counter *histograms; /* of them */
    struct mrd_counter *duplicates;
    struct mrd_counter *overridden;
    struct mrd_counter *blocks;
    struct mrd_counter *bytes;
    struct mrd_counter *refused;               /* samples that no block can hold: LOSS */
    struct mrd_counter *rows_unresolved;       /* without announcement: LOSS */
    struct mrd_counter *announcements_refused; /* labels that are not canonical: LOSS */
    struct mrd_counter *batches_missing;       /* holes in the numbers: LOSS */
    struct mrd_counter *batches_duplicate;
    struct mrd_counter *sequences_missing; /* the log had lost them before they were built: LOSS */
    struct mrd_counter *quarantined;
    struct mrd_counter *erased;
};
void cmp_build_figures_init(struct cmp_build_figures *figures, struct mrd_metrics *metrics);

struct cmp_build_limits {
    uint64_t samples_max;    /* of a range */
    size_t memory_bytes_max; /* of a range; at least CMP_BUILD_MEMORY_MIN */
};
#define CMP_BUILD_MEMORY_MIN ((size_t)48 << 20)

struct cmp_builder *cmp_builder_create(uint32_t partition, const struct cmp_build_limits *limits,
                                       const struct cmp_build_figures *figures);
void cmp_builder_destroy(struct cmp_builder **builder);
size_t cmp_builder_memory(const struct cmp_builder *builder);

/* Drops the range and begins another, from that sequence on. It is behind cmp_builder_taken. */
void cmp_builder_begin(struct cmp_builder *builder, uint64_t first_sequence);

/* Requests to erase that are known beside those of the log: what is stamped before them is left out too, wherever it stands. Lent until the next call,
 * or destroy. */
void cmp_builder_follow(struct cmp_builder *builder, const struct mrd_erasure *const *erasures,
                        size_t count);

/* Where a batch stood in the log. */
struct cmp_position {
    uint64_t sequence;
    mrd_time_ms stored_ms;
    const char *residency_class; /* of its subject */
};

/* Takes the next batch; positions rise. MRD_E_CORRUPT, MRD_E_UNSUPPORTED: it cannot be read and is left out: to be put into quarantine. The
 * range goes over it in any case. */
MRD_MUST_CHECK enum mrd_status cmp_builder_take(struct cmp_builder *builder,
                                                const struct cmp_position *position,
                                                struct mrd_bytes message, struct mrd_error *err);

/* The last sequence that was taken, 0: none. */
uint64_t cmp_builder_taken(const struct cmp_builder *builder);
/* The range: empty if last is before first. */
uint64_t cmp_builder_first(const struct cmp_builder *builder);
uint64_t cmp_builder_last(const struct cmp_builder *builder);
/* When the log took the last entry of the range; 0: it is one that was lost. */
mrd_time_ms cmp_builder_last_stored_ms(const struct cmp_builder *builder);
uint64_t cmp_builder_samples(const struct cmp_builder *builder);
/* No more is to be taken before the range is written. */
bool cmp_builder_full(const struct cmp_builder *builder);

/* From which sequence on a reader resolves all references of tables that were heard at or after since_ms. UINT64_MAX: none was. */
uint64_t cmp_builder_references_first(const struct cmp_builder *builder, mrd_time_ms since_ms);

/* Where the blocks go. */
struct cmp_build_target {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control;
    /* Now, by the wall clock: its UTC day stands in the keys, and in nothing else. So what a sweep finds abandoned for a day is never
     * written again under the same key while it is being deleted. */
    mrd_time_ms begun_ms;
};

/* Writes the blocks of the range, none if it has no sample. The entries lie in the arena. Can be called again.
 * MRD_E_LIMIT: the index of a block does not fit into memory; a builder with fewer samples a range may do it. */
MRD_MUST_CHECK enum mrd_status cmp_builder_write(struct cmp_builder *builder,
                                                 const struct cmp_build_target *target,
                                                 struct mrd_arena *arena,
                                                 const struct mrd_block_entry **out_entries,
                                                 size_t *out_count, struct mrd_error *err);

/* The range that was written last is committed: counts what was written. Begin another then. */
void cmp_builder_committed(struct cmp_builder *builder);

/* The log has no entry up to `sequence` any more: those that were not taken are lost, which is counted and logged. */
void cmp_builder_lost(struct cmp_builder *builder, uint64_t sequence);

/* Forgets references of old epochs and series that nothing names any more, and reports holes. Only while the range is empty. */
void cmp_builder_tidy(struct cmp_builder *builder);

#endif
