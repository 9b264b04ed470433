/* Commits and checkpoints from hostile bytes. The CRC is put right, so that what stands behind it is reached. */
#include "base/hash.h"
#include "catalog/state_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(struct mrd_bytes record, enum cat_record_kind kind)
{
    struct cat_header header;
    struct mrd_reader actions;
    struct mrd_error err = {0};
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *state = cat_state_new();
    if (cat_record_open(record, &header, &actions, &err) != MRD_OK) {
        mrd_assert(err.text[0] != '\0');
        return;
    }
    if (cat_state_apply_record(state, record, kind, header.number, 1 << 20, &err) != MRD_OK) {
        mrd_assert(err.text[0] != '\0');
        return;
    }
    /* What was taken makes a checkpoint that makes the same state again. */
    mrd_auto(mrd_buf_fini)
    struct mrd_buf first = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf second = {0};
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *again = cat_state_new();
    cat_state_encode(state, &first);
    mrd_assert(cat_state_apply_record(again, mrd_buf_view(&first), CAT_CHECKPOINT, header.number,
                                      1 << 21, &err) == MRD_OK);
    cat_state_encode(again, &second);
    mrd_assert(mrd_bytes_equal(mrd_buf_view(&first), mrd_buf_view(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    mrd_buf_append(&bytes, data, size);
    mrd_buf_append_u32(&bytes, mrd_crc32c(0, (struct mrd_bytes){data, size}));
    read_as(mrd_buf_view(&bytes), CAT_COMMIT);
    read_as(mrd_buf_view(&bytes), CAT_CHECKPOINT);
    return 0;
}
