@echo off
rem jbangw.cmd FILE ARGS does what  jbang FILE ARGS  does. It only finds an installed JBang; jbangw (bash) also fetches one.
setlocal
set "FOUND="
for %%J in (jbang.cmd jbang.exe jbang.bat) do if not defined FOUND set "FOUND=%%~$PATH:J"
if not defined FOUND if exist "%USERPROFILE%\.jbang\bin\jbang.cmd" set "FOUND=%USERPROFILE%\.jbang\bin\jbang.cmd"
rem Without "call": control passes to JBang and its exit code is ours; "call" would read the arguments a second time.
if defined FOUND "%FOUND%" %*
if defined FOUND exit /b
echo jbangw: JBang is not installed: not on PATH, not in %USERPROFILE%\.jbang\bin. 1>&2
echo         Install it with one of these, then run this again: 1>&2
echo           winget install jbangdev.jbang 1>&2
echo           choco install jbang 1>&2
echo           scoop bucket add jbangdev https://github.com/jbangdev/scoop-bucket ^&^& scoop install jbang 1>&2
echo         or run ./jbangw in WSL, which fetches it by itself. 1>&2
exit /b 1
