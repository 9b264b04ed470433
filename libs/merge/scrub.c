#include "merge/scrub.h"

#include <time.h>

#include "block/reader.h"

enum { MEMORY_BYTES_MAX = 512 << 20, NAP_NS = 50 * 1000 * 1000 };

/* Waits until so many bytes may have been read since the beginning. */
static enum mrd_status keep_pace(const struct mrd_scrub_options *options, uint64_t bytes,
                                 int64_t began_ns, struct mrd_error *err)
{
    const double seconds = (double)bytes / (double)options->bytes_per_second;
    const int64_t due_ns = began_ns + (int64_t)(seconds * 1e9);
    while (options->clock->monotonic_ns(options->clock->context) < due_ns) {
        MRD_TRY(mrd_objstore_check(options->control, err));
        const struct timespec nap = {0, NAP_NS};
        (void)nanosleep(&nap, NULL);
    }
    return MRD_OK;
}

static enum mrd_status scrub_block(const struct mrd_scrub_options *options,
                                   const struct mrd_block_entry *block,
                                   struct mrd_scrub_result *result, struct mrd_error *err)
{
    const struct mrd_block_verify_options verify = {
        .control = options->control,
        .memory_bytes_max =
            options->memory_bytes_max == 0 ? MEMORY_BYTES_MAX : options->memory_bytes_max};
    struct mrd_error why = {0};
    const enum mrd_status status = mrd_block_verify(options->store, block, &verify, &why);
    if (status != MRD_OK && status != MRD_E_CORRUPT && status != MRD_E_NOT_FOUND) {
        return mrd_fail(err, status, "%s", why.text);
    }
    result->blocks++;
    result->bytes += block->data.size + block->sidecar.size + block->series_file.file.size;
    result->corrupt += status == MRD_E_CORRUPT;
    result->missing += status == MRD_E_NOT_FOUND;
    return status == MRD_OK || options->bad == NULL
               ? MRD_OK
               : options->bad(options->context, block, status, why.text, err);
}

enum mrd_status mrd_scrub_run(const struct mrd_scrub_options *options,
                              struct mrd_scrub_result *progress, struct mrd_error *err)
{
    const bool paced = options->bytes_per_second > 0;
    const int64_t began_ns = paced ? options->clock->monotonic_ns(options->clock->context) : 0;
    *progress = (struct mrd_scrub_result){0};
    for (size_t i = 0; i < options->block_count; i++) {
        MRD_TRY(mrd_objstore_check(options->control, err));
        MRD_TRY(scrub_block(options, options->blocks[i], progress, err));
        if (paced) {
            MRD_TRY(keep_pace(options, progress->bytes, began_ns, err));
        }
    }
    return MRD_OK;
}
