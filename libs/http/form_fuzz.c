/* Any bytes as a form: views stay inside the storage, and what is accepted can be encoded again to
 * something that gives the same parameters. */
#include <stdlib.h>

#include "http/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(struct mrd_buf *out, struct mrd_bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        mrd_buf_printf(out, "%%%02X", bytes.data[i]);
    }
}

struct parsed {
    struct mrd_http_param *params;
    size_t count;
    uint8_t *storage;
};

static void parsed_fini(struct parsed *parsed)
{
    free(parsed->params);
    free(parsed->storage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mrd_auto(parsed_fini)
    struct parsed first = {0};
    struct mrd_error err;
    const struct mrd_bytes text = {data, size};
    if (mrd_form_parse(text, &first.params, &first.count, &first.storage, &err) == MRD_E_LIMIT) {
        return 0;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf again = {0};
    for (size_t i = 0; i < first.count; i++) {
        encode(&again, first.params[i].name);
        mrd_buf_append_text(&again, "=");
        encode(&again, first.params[i].value);
        mrd_buf_append_text(&again, "&");
    }
    mrd_auto(parsed_fini)
    struct parsed second = {0};
    if (first.count + 1 >= MRD_HTTP_PARAMS_MAX) {
        return 0;
    }
    mrd_assert(mrd_form_parse(mrd_buf_view(&again), &second.params, &second.count, &second.storage,
                              &err) == MRD_OK);
    mrd_assert(second.count == first.count);
    for (size_t i = 0; i < first.count; i++) {
        mrd_assert(mrd_bytes_equal(first.params[i].name, second.params[i].name));
        mrd_assert(mrd_bytes_equal(first.params[i].value, second.params[i].value));
    }
    return 0;
}
