/* varbit_internal.h: the numbers of Prometheus' chunks that take 1 bit if they are 0, else a mark of 2 to 8 bits and
 * 3, 6, 9, 12, 18, 25, 56 or 64 bits (tsdb/chunkenc/varbit.go). */
#ifndef MRD_CODEC_VARBIT_INTERNAL_H
#define MRD_CODEC_VARBIT_INTERNAL_H

#include "codec/bit_reader_internal.h"
#include "codec/bit_writer_internal.h"

enum { MRD_VARBIT_CLASSES = 8 };

/* A class is marked by one more one than the class before has; the last has no zero behind its eight. */
static const uint8_t mrd_varbit_widths[MRD_VARBIT_CLASSES] = {3, 6, 9, 12, 18, 25, 56, 64};

static inline void mrd_varbit_put_class(struct mrd_bit_writer *writer, uint64_t value, size_t class)
{
    const bool last = class == MRD_VARBIT_CLASSES - 1;
    const unsigned mark = (1U << (class + 2)) - 2;
    mrd_bits_put(writer, last ? 0xff : mark, last ? 8 : (unsigned)class + 2);
    mrd_bits_put(writer, value, mrd_varbit_widths[class]);
}

static inline void mrd_varbit_put_signed(struct mrd_bit_writer *writer, uint64_t value)
{
    size_t class = 0;
    if (value == 0) {
        mrd_bits_put(writer, 0, 1);
        return;
    }
    while (class < MRD_VARBIT_CLASSES - 1 &&
           !mrd_bits_fit((int64_t)value, mrd_varbit_widths[class])) {
        class ++;
    }
    mrd_varbit_put_class(writer, value, class);
}

static inline void mrd_varbit_put_unsigned(struct mrd_bit_writer *writer, uint64_t value)
{
    size_t class = 0;
    if (value == 0) {
        mrd_bits_put(writer, 0, 1);
        return;
    }
    while (class < MRD_VARBIT_CLASSES - 1 && value >> mrd_varbit_widths[class] != 0) {
        class ++;
    }
    mrd_varbit_put_class(writer, value, class);
}

static inline int64_t mrd_varbit_read_signed(struct mrd_msb_reader *reader)
{
    const unsigned ones = mrd_msb_ones(reader, MRD_VARBIT_CLASSES);
    return ones == 0 ? 0 : mrd_msb_read_signed(reader, mrd_varbit_widths[ones - 1]);
}

static inline uint64_t mrd_varbit_read_unsigned(struct mrd_msb_reader *reader)
{
    const unsigned ones = mrd_msb_ones(reader, MRD_VARBIT_CLASSES);
    return ones == 0 ? 0 : mrd_msb_read(reader, mrd_varbit_widths[ones - 1]);
}

#endif
