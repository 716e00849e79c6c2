/* Lists of what is active, sixteen numbers at a time, and how many vectors what they meet has. */

#if defined(SIXTEEN)
#if __has_builtin(__builtin_ia32_cmpps512_mask) && __has_builtin(__builtin_ia32_compresssf512_mask) && \
    __has_builtin(__builtin_ia32_compresssi512_mask)
#define COMPRESS 1
typedef int32_t sixteen_whole __attribute__((vector_size(64)));
typedef int32_t sixteen_whole_any __attribute__((vector_size(64), aligned(4), may_alias));
#endif
#endif

/* As list_rows; sixteen numbers are looked at, and what is active of them moved together, in a few instructions where there are any. */
static int64_t __attribute__((unused)) actives(const real *sent, int64_t rows, int64_t pre, int64_t *begin, int32_t *index, real *value)
{
#if defined(COMPRESS)
    if (sizeof(real) == sizeof(float)) {
        const sixteen_whole next = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        int64_t n = 0;
        for (int64_t r = 0; r < rows; r++) {
            begin[r] = n;
            for (int64_t i = 0; i < pre; i += 16) { /* what is stored beyond the actives is overwritten, or is in the room of 16 more */
                const sixteen x = some_of((const float *)sent + r*pre + i, first_bits(pre - i));
                const unsigned short active = __builtin_ia32_cmpps512_mask(x, (sixteen){0}, 4, (unsigned short)-1, 4); /* unlike 0, or no number */
                if (active == 0) continue;
                *(sixteen_any *)((float *)value + n) = __builtin_ia32_compresssf512_mask(x, (sixteen){0}, active);
                *(sixteen_whole_any *)(index + n) = __builtin_ia32_compresssi512_mask(next + (int32_t)i, (sixteen_whole){0}, active);
                n += __builtin_popcount(active);
            }
        }
        begin[rows] = n;
        return n;
    }
#endif
    return list_rows(sent, rows, pre, begin, index, value);
}

/* How many vectors of channels a run, or a meeting, sums side by side. */
static inline int64_t vectors_of_run(int64_t targets) { return VECTOR == 64 && targets > 2*WIDTH ? 4 : 2; }

/* A function of so many vectors. Only those are there that the convolutions of a network take: MANY, FEW, or both. */
#if VECTOR != 64 || !defined(MANY)
#undef MANY
#define OF_VECTORS(name) name##_2
#elif !defined(FEW)
#define OF_VECTORS(name) name##_4
#else
#define OF_VECTORS(name) (vectors == 4 ? name##_4 : name##_2)
#endif
#if !defined(MANY)
#define FEW 1
#endif
