/* batch_internal.h: what the two halves of the batch format share. */
#ifndef MRD_WIRE_BATCH_INTERNAL_H
#define MRD_WIRE_BATCH_INTERNAL_H

/* Sections of a body, in this order where present. */
enum batch_section {
    SECTION_TENANTS = 1,
    SECTION_ANNOUNCEMENTS = 2,
    SECTION_REFERENCES = 3,
    SECTION_SAMPLE_COUNTS = 4,
    SECTION_TIMES = 5,
    SECTION_VALUES = 6,
    SECTION_COUNT
};

#endif
