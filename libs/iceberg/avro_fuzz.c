/* Avro files from hostile bytes, their records read as those of a made-up schema that has every kind of value. */
#include "iceberg/avro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS_MAX = 1000 };

static void read_record(struct mrd_reader *in)
{
    (void)mrd_avro_get_long(in);
    (void)mrd_avro_get_boolean(in);
    (void)mrd_avro_get_double(in);
    (void)mrd_avro_get_bytes(in);
    if (mrd_avro_get_branch(in, 2) == 1) {
        (void)mrd_avro_get_bytes(in);
    }
    for (uint64_t left = 0; mrd_avro_next_item(in, &left);) {
        (void)mrd_avro_get_bytes(in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mrd_auto(mrd_avro_file_close)
    struct mrd_avro_file *file = NULL;
    if (mrd_avro_file_open((struct mrd_bytes){data, size}, 1 << 20, &file, NULL) != MRD_OK) {
        return 0;
    }
    struct mrd_bytes schema;
    mrd_assert(mrd_avro_file_metadata(file, MRD_BYTES("avro.schema"), &schema));
    uint64_t records = 0;
    struct mrd_reader values;
    while (mrd_avro_file_block(file, &records, &values, NULL) == MRD_OK && records > 0) {
        for (uint64_t i = 0; i < MRD_MIN(records, (uint64_t)RECORDS_MAX) && !values.failed; i++) {
            read_record(&values);
        }
    }
    return 0;
}
