#include "wire/values_internal.h"

#include "model/sample.h"

#include <math.h>

enum {
    CODE_RAW = 8,
    CODE_THOUSANDTHS = 8, /* plus 1 to 5 bytes */
    CODE_COUNT = 14,
    THOUSANDTHS_SIZE_MAX = 5,
};

/* Bytes by code; 0 for codes that do not exist is never used. */
static const uint8_t code_sizes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 0, 0};

/* What keeps the low bytes of a number, by code. */
static const uint64_t code_masks[16] = {
    0,
    0xff,
    0xffff,
    0xffffff,
    0xffffffff,
    0xffffffffff,
    0xffffffffffff,
    0xffffffffffffff,
    UINT64_MAX,
    0xff,
    0xffff,
    0xffffff,
    0xffffffff,
    0xffffffffff,
    0,
    0,
};

static inline unsigned size_of(uint64_t number)
{
    return number == 0 ? 0 : (71U - (unsigned)__builtin_clzll(number)) / 8;
}

/* The code of a value; *out is what its bytes hold. Exact: a value is only a number if the number reads
 * back to the same bits, so -0 and every NaN stay as they are. */
static inline unsigned encode(double value, uint64_t *out)
{
    const uint64_t bits = mrd_double_bits(value);
    *out = bits;
    if (!(fabs(value) < 0x1p52)) {
        return CODE_RAW;
    }
    const int64_t whole = (int64_t)value;
    if (mrd_double_bits((double)whole) == bits) {
        *out = mrd_zigzag_encode(whole);
        return size_of(*out);
    }
    const double scaled = value * 1000;
    if (!(fabs(scaled) < 0x1p39 - 1)) { /* the next whole number has five bytes as well */
        return CODE_RAW;
    }
    const int64_t thousandths = (int64_t)(scaled + copysign(0.5, scaled));
    if (thousandths != 0 && mrd_double_bits((double)thousandths / 1000) == bits) {
        *out = mrd_zigzag_encode(thousandths);
        return CODE_THOUSANDTHS + size_of(*out);
    }
    return CODE_RAW;
}
_Static_assert(THOUSANDTHS_SIZE_MAX * 8 == 40, "zigzag of less than 2^39");

void mrd_values_write(struct mrd_buf *out, const double *values, size_t count)
{
    uint8_t *codes = mrd_buf_reserve(out, mrd_values_size_max(count) + sizeof(uint64_t));
    if (codes == NULL) {
        return;
    }
    const size_t codes_size = (count + 1) / 2;
    uint8_t *at = codes + codes_size;
    for (size_t i = 0; i < count; i++) {
        uint64_t number;
        const unsigned code = encode(values[i], &number);
        codes[i / 2] = (uint8_t)(i % 2 == 0 ? code : codes[i / 2] | code << 4);
        memcpy(at, &number, sizeof(number)); /* as many as count stay */
        at += code_sizes[code];
    }
    out->size += (size_t)(at - codes);
}

static inline double decode(unsigned code, uint64_t number)
{
    number &= code_masks[code];
    if (code == CODE_RAW) {
        return mrd_double_from_bits(number);
    }
    const double whole = (double)mrd_zigzag_decode(number);
    return code > CODE_THOUSANDTHS ? whole / 1000 : whole;
}

/* The bytes of one value, never reading past the end. */
static inline bool take(const uint8_t **at, const uint8_t *end, unsigned code, uint64_t *out)
{
    const size_t left = (size_t)(end - *at);
    if (mrd_likely(left >= sizeof(*out))) {
        memcpy(out, *at, sizeof(*out));
    } else {
        if (code_sizes[code] > left) {
            return false;
        }
        *out = 0;
        memcpy(out, *at, code_sizes[code]);
    }
    *at += code_sizes[code];
    return true;
}

bool mrd_values_read(struct mrd_bytes bytes, double *values, size_t count)
{
    const size_t codes_size = count / 2 + count % 2;
    if (bytes.size < codes_size) {
        return false;
    }
    const uint8_t *codes = bytes.data;
    const uint8_t *at = codes + codes_size;
    const uint8_t *end = codes + bytes.size;
    for (size_t i = 0; i < count; i++) {
        const unsigned code = i % 2 == 0 ? codes[i / 2] & 15U : codes[i / 2] >> 4;
        uint64_t number;
        if (mrd_unlikely(code >= CODE_COUNT || !take(&at, end, code, &number))) {
            return false;
        }
        values[i] = decode(code, number);
    }
    return at == end && (count % 2 == 0 || codes[count / 2] < 16);
}
