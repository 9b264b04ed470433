#include <stdlib.h>

#include "block/writer_internal.h"
#include "parquet/compress.h"

enum { SPARE_ROLLUP_RUNS = 4, LEVELS = 3 };

struct mrd_block_writer_kit {
    struct block_run *run;
    struct block_rollup_run *rollup_runs[SPARE_ROLLUP_RUNS];
    struct {
        struct mrd_pq_compressor *compressor;
        int level;
    } levels[LEVELS];
};

struct mrd_block_writer_kit *mrd_block_writer_kit_create(void)
{
    struct mrd_block_writer_kit *kit = calloc(1, sizeof(*kit));
    mrd_assert(kit != NULL);
    return kit;
}

void mrd_block_writer_kit_destroy(struct mrd_block_writer_kit **kit_at)
{
    struct mrd_block_writer_kit *kit = MRD_MOVE(*kit_at);
    if (kit == NULL) {
        return;
    }
    block_run_destroy(&kit->run);
    for (size_t i = 0; i < SPARE_ROLLUP_RUNS; i++) {
        block_rollup_run_destroy(&kit->rollup_runs[i]);
    }
    for (size_t i = 0; i < LEVELS; i++) {
        mrd_pq_compressor_destroy(&kit->levels[i].compressor);
    }
    free(kit);
}

struct block_run *block_kit_take_run(struct mrd_block_writer_kit *kit)
{
    if (kit == NULL || kit->run == NULL) {
        return block_run_create();
    }
    block_run_clear(kit->run);
    return MRD_MOVE(kit->run);
}

void block_kit_give_run(struct mrd_block_writer_kit *kit, struct block_run **run)
{
    if (kit != NULL && kit->run == NULL) {
        kit->run = MRD_MOVE(*run);
    }
    block_run_destroy(run);
}

struct block_rollup_run *block_kit_take_rollup_run(struct mrd_block_writer_kit *kit)
{
    for (size_t i = 0; kit != NULL && i < SPARE_ROLLUP_RUNS; i++) {
        if (kit->rollup_runs[i] != NULL) {
            block_rollup_run_clear(kit->rollup_runs[i]);
            return MRD_MOVE(kit->rollup_runs[i]);
        }
    }
    return block_rollup_run_create();
}

void block_kit_give_rollup_run(struct mrd_block_writer_kit *kit, struct block_rollup_run **run)
{
    for (size_t i = 0; kit != NULL && i < SPARE_ROLLUP_RUNS && *run != NULL; i++) {
        if (kit->rollup_runs[i] == NULL) {
            kit->rollup_runs[i] = MRD_MOVE(*run);
        }
    }
    block_rollup_run_destroy(run);
}

struct mrd_pq_compressor *block_kit_compressor(struct mrd_block_writer_kit *kit, int level)
{
    for (size_t i = 0; kit != NULL && i < LEVELS; i++) {
        if (kit->levels[i].compressor == NULL) {
            kit->levels[i].compressor = mrd_pq_compressor_create(MRD_PQ_ZSTD, level);
            kit->levels[i].level = level;
        }
        if (kit->levels[i].level == level) {
            return kit->levels[i].compressor;
        }
    }
    return NULL;
}
