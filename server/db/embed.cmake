# Writes the SQL steps as a C file: cmake -DOUTPUT=… "-DFILES=…;…" -P embed.cmake
# The names are given, so that a step that is renamed or gone makes the build write it again.
# Texts become byte arrays, so that no length or escape rule of C strings applies.
list(SORT FILES)
set(ARRAYS "")
set(TABLE "")
set(INDEX 0)
foreach(FILE ${FILES})
  get_filename_component(NAME ${FILE} NAME)
  file(READ ${FILE} HEX HEX)
  string(LENGTH "${HEX}" DIGITS)
  math(EXPR LENGTH "${DIGITS} / 2")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," BYTES "${HEX}")
  string(APPEND ARRAYS "static const unsigned char step_${INDEX}[] = {${BYTES}0};\n")
  string(APPEND TABLE "    {\"${NAME}\", (const char *)step_${INDEX}, ${LENGTH}},\n")
  math(EXPR INDEX "${INDEX} + 1")
endforeach()
file(WRITE "${OUTPUT}" "/* Generated from sql/ by server/db/embed.cmake. */
#include \"server/db/migrate.h\"

${ARRAYS}
const struct migration migrations[] = {
${TABLE}    {0, 0, 0},
};
const size_t migrations_len = ${INDEX};
")
