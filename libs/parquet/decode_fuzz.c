/* Pages from hostile bytes. Six bytes choose the format of the column and the page, two the entries, one the size of
 * a dictionary that follows; the rest is the body. The header is made here, without a CRC, so that changes
 * of a body get to its decoder. Format byte 255 takes all bytes as a page, header too. */
#include "parquet/decode.h"
#include "parquet/page_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICES = 9 };

static void touch(const struct mrd_pq_batch *batch, const struct mrd_pq_page_format *format)
{
    uint8_t sum = 0;
    size_t values = 0;
    for (size_t i = 0; i < batch->entries; i++) {
        mrd_assert(batch->def == NULL || batch->def[i] <= format->def_max);
        mrd_assert(batch->rep == NULL || batch->rep[i] <= format->rep_max);
        values += batch->def == NULL || batch->def[i] == format->def_max;
    }
    mrd_assert(values == batch->values);
    const size_t value_size = mrd_pq_value_size(format->type, format->fixed_size);
    const uint8_t *bytes = batch->any;
    for (size_t i = 0; i < values * value_size; i++) {
        sum ^= bytes[i];
    }
    for (size_t i = 0; format->type == MRD_PQ_BYTE_ARRAY && i < values; i++) {
        sum ^= batch->bytes[i].size > 0
                   ? batch->bytes[i].data[0] ^ batch->bytes[i].data[batch->bytes[i].size - 1]
                   : 0;
    }
    static volatile uint8_t sink;
    sink = sum;
    (void)sink;
}

static struct mrd_bytes page_of(struct mrd_pq_page_header *header, struct mrd_bytes body,
                                struct mrd_buf *out)
{
    header->plain_size = (uint32_t)body.size;
    header->stored_size = (uint32_t)body.size;
    mrd_buf_clear(out);
    mrd_pq_page_header_write(header, out);
    mrd_buf_append_bytes(out, body);
    return mrd_buf_view(out);
}

static void try_page(struct mrd_pq_decoder *decoder, const struct mrd_pq_page_format *format,
                     struct mrd_bytes page)
{
    struct mrd_pq_batch batch;
    struct mrd_error err = {0};
    if (mrd_pq_decoder_page(decoder, page, &batch, &err) == MRD_OK) {
        touch(&batch, format);
    } else {
        mrd_assert(err.text[0] != '\0');
    }
}

static void try_made(struct mrd_pq_decoder *decoder, const struct mrd_pq_page_format *format,
                     const uint8_t *choices, struct mrd_bytes rest)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf buf = {0};
    const struct mrd_bytes dictionary = {rest.data, MRD_MIN(rest.size, (size_t)choices[8])};
    const struct mrd_bytes body = {rest.data + dictionary.size, rest.size - dictionary.size};
    struct mrd_pq_page_header header = {
        .type = MRD_PQ_DICTIONARY_PAGE, .encoding = MRD_PQ_PLAIN, .entries = choices[5] / 2U};
    if (dictionary.size > 0) {
        (void)!mrd_pq_decoder_dictionary(decoder, page_of(&header, dictionary, &buf), NULL);
    }
    header = (struct mrd_pq_page_header){
        .type = choices[5] % 2 == 0 ? MRD_PQ_DATA_PAGE : MRD_PQ_DATA_PAGE_V2,
        .entries = (uint32_t)(choices[6] | choices[7] << 8),
        .encoding = choices[4] % MRD_PQ_ENCODING_COUNT,
        .def_size = choices[5] / 2U % 16U,
        .rep_size = choices[5] / 32U,
    };
    header.def_size = header.type == MRD_PQ_DATA_PAGE ? 0 : header.def_size;
    header.rep_size = header.type == MRD_PQ_DATA_PAGE ? 0 : header.rep_size;
    try_page(decoder, format, page_of(&header, body, &buf));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CHOICES) {
        return 0;
    }
    const struct mrd_pq_page_format format = {
        .type = (enum mrd_pq_type)(data[0] % MRD_PQ_TYPE_COUNT),
        .fixed_size = data[1] % 20,
        .def_max = data[2] % 8,
        .rep_max = data[3] % 4,
        .codec = data[0] == 255 ? data[1] % 8U : MRD_PQ_NONE,
    };
    mrd_auto(mrd_pq_decoder_destroy)
    struct mrd_pq_decoder *decoder = mrd_pq_decoder_create(8 << 20);
    if (mrd_pq_decoder_begin(decoder, &format, NULL) != MRD_OK) {
        return 0;
    }
    const struct mrd_bytes rest = {data + CHOICES, size - CHOICES};
    if (data[0] == 255) {
        try_page(decoder, &format, rest);
    } else {
        try_made(decoder, &format, data, rest);
    }
    return 0;
}
