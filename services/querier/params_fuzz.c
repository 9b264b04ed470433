/* The API's parameters from anywhere: read within their bytes, or refused with a text. */
#include "querier/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_numbers(struct mrd_bytes text)
{
    struct mrd_error err = {0};
    mrd_time_ms ms;
    size_t limit;
    mrd_assert((qry_time_parse(text, &ms, &err) == MRD_OK) || err.text[0] != 0);
    err.text[0] = 0;
    mrd_assert((qry_duration_parse(text, &ms, &err) == MRD_OK) || err.text[0] != 0);
    err.text[0] = 0;
    mrd_assert((qry_limit_parse(text, &limit, &err) == MRD_OK) || err.text[0] != 0);
}

/* A name that was escaped comes back as something shorter, any other as itself. */
static void fuzz_name(struct mrd_bytes name)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    qry_label_name_unescape(name, &out);
    mrd_assert(out.size <= name.size);
    const bool escaped = name.size >= 3 && memcmp(name.data, "U__", 3) == 0;
    mrd_assert(escaped || mrd_bytes_equal(mrd_buf_view(&out), name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mrd_bytes text = {data, size};
    fuzz_numbers(text);
    fuzz_name(text);
    return 0;
}
