#include "parquet/format.h"

static const char *const encoding_names[MRD_PQ_ENCODING_COUNT] = {
    [MRD_PQ_PLAIN] = "PLAIN",
    [MRD_PQ_PLAIN_DICTIONARY] = "PLAIN_DICTIONARY",
    [MRD_PQ_RLE] = "RLE",
    [MRD_PQ_BIT_PACKED] = "BIT_PACKED",
    [MRD_PQ_DELTA_BINARY_PACKED] = "DELTA_BINARY_PACKED",
    [MRD_PQ_DELTA_LENGTH_BYTE_ARRAY] = "DELTA_LENGTH_BYTE_ARRAY",
    [MRD_PQ_DELTA_BYTE_ARRAY] = "DELTA_BYTE_ARRAY",
    [MRD_PQ_RLE_DICTIONARY] = "RLE_DICTIONARY",
    [MRD_PQ_BYTE_STREAM_SPLIT] = "BYTE_STREAM_SPLIT",
};

const char *mrd_pq_encoding_name(unsigned encoding)
{
    const char *name = encoding < MRD_PQ_ENCODING_COUNT ? encoding_names[encoding] : NULL;
    return name != NULL ? name : "?";
}

size_t mrd_pq_value_size(enum mrd_pq_type type, uint32_t fixed_size)
{
    switch (type) {
    case MRD_PQ_BOOLEAN:
        return 1;
    case MRD_PQ_INT32:
    case MRD_PQ_FLOAT:
        return 4;
    case MRD_PQ_INT64:
    case MRD_PQ_DOUBLE:
        return 8;
    case MRD_PQ_INT96:
        return 12;
    case MRD_PQ_BYTE_ARRAY:
        return sizeof(struct mrd_bytes);
    case MRD_PQ_FIXED:
        return fixed_size;
    case MRD_PQ_TYPE_COUNT:
        break;
    }
    return 0;
}
