# libsticps as its users meet it: what it exports, and that a program can be built against it.
if(TARGET sticps)
  add_test(NAME unit/exports
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/check_exports.sh $<TARGET_FILE:sticps>
      ${CMAKE_CURRENT_LIST_DIR}/exports.txt)
  if(NOT STICPS_SANITIZE)
    add_test(NAME unit/abi
      COMMAND ${CMAKE_CURRENT_LIST_DIR}/check_abi.sh ${CMAKE_SOURCE_DIR} $<TARGET_FILE:sticps> ${CMAKE_COMMAND})
    set_tests_properties(unit/abi PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 900)
  endif()
  if(NOT STICPS_SANITIZE AND NOT STICPS_COVERAGE) # which bring their own
    add_test(NAME unit/symbols
      COMMAND ${CMAKE_CURRENT_LIST_DIR}/check_symbols.sh $<TARGET_FILE:sticps>)
  endif()
  add_test(NAME unit/consumer
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/check_consumer.sh ${CMAKE_BINARY_DIR} ${CMAKE_COMMAND})
  if(STICPS_SANITIZE)
    set_tests_properties(unit/consumer PROPERTIES ENVIRONMENT "SANITIZE=-fsanitize=${STICPS_SANITIZE}")
  endif()
endif()
