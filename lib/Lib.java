//JAVA 21+
//DEPS org.postgresql:postgresql:42.7.14
//DEPS info.picocli:picocli:4.7.7
//DEPS org.fusesource.jansi:jansi:2.4.2
//DEPS io.github.cdimascio:dotenv-java:3.2.0
//DEPS com.google.code.gson:gson:2.13.2
//DEPS org.snakeyaml:snakeyaml-engine:3.2
//DEPS com.github.luben:zstd-jni:1.5.7-28
//DEPS com.exceptionfactory.jagged:jagged-framework:1.0.0
//DEPS com.exceptionfactory.jagged:jagged-x25519:1.0.0
// Short-lived processes: one collector thread, and only what is hot is compiled. reset_migrations.java stops at the first compiler tier too.
//RUNTIME_OPTIONS -XX:+UseSerialGC -XX:CompileThresholdScaling=4 -Xshare:auto -XX:MaxRAM=2g --enable-native-access=ALL-UNNAMED
// zstd-jni's classes for Java 22 call the library in a way that takes 0.2 s longer to set up than those for all versions.
//RUNTIME_OPTIONS -Djdk.util.jar.enableMultiRelease=false
// Native access for an exported jar too, or Jansi's native part is a warning that cron mails every night.
//MANIFEST Enable-Native-Access=ALL-UNNAMED
// javac has no other way not to warn of sun.misc.Signal, the only way to hear of Ctrl-C before the JVM ends.
//COMPILE_OPTIONS -XDignore.symbol.file
// One by one: a glob resolves to nothing when the script runs from a URL.
//SOURCES backup/Backup.java
//SOURCES backup/BackupFile.java
//SOURCES backup/BackupFolder.java
//SOURCES backup/BackupOptions.java
//SOURCES backup/BackupPrinter.java
//SOURCES backup/BackupStatus.java
//SOURCES backup/Backups.java
//SOURCES backup/Differences.java
//SOURCES backup/Manifest.java
//SOURCES backup/OffSite.java
//SOURCES backup/OldServer.java
//SOURCES backup/Prune.java
//SOURCES backup/Restoration.java
//SOURCES backup/RestoreCommand.java
//SOURCES backup/Retention.java
//SOURCES backup/ShrinkageAlarm.java
//SOURCES backup/SqlScan.java
//SOURCES backup/archive/Archive.java
//SOURCES backup/archive/Compression.java
//SOURCES backup/archive/Contents.java
//SOURCES backup/archive/XxHash64.java
//SOURCES backup/encryption/Age.java
//SOURCES backup/encryption/DecryptionKey.java
//SOURCES backup/offsite/Ping.java
//SOURCES backup/offsite/Remote.java
//SOURCES cli/Cli.java
//SOURCES cli/Confirmation.java
//SOURCES cli/Console.java
//SOURCES cli/Script.java
//SOURCES django/CheckResult.java
//SOURCES django/CodePaths.java
//SOURCES django/Conversation.java
//SOURCES django/Description.java
//SOURCES django/Django.java
//SOURCES django/DjangoProblem.java
//SOURCES django/DriverProgram.java
//SOURCES django/Migrations.java
//SOURCES django/Migrator.java
//SOURCES django/NewMigrations.java
//SOURCES django/PythonCommand.java
//SOURCES django/PythonProcess.java
//SOURCES docker/ComposeConfig.java
//SOURCES docker/ComposeReader.java
//SOURCES docker/Composer.java
//SOURCES docker/ContainerExec.java
//SOURCES docker/Containers.java
//SOURCES docker/Tunnel.java
//SOURCES environment/Compose.java
//SOURCES environment/ComposeSetup.java
//SOURCES environment/DatabaseService.java
//SOURCES environment/Detection.java
//SOURCES environment/DjangoHost.java
//SOURCES environment/DjangoService.java
//SOURCES environment/Environment.java
//SOURCES environment/ProjectOptions.java
//SOURCES environment/ServiceEngine.java
//SOURCES environment/Services.java
//SOURCES error/Failure.java
//SOURCES error/Problem.java
//SOURCES files/Checkpoint.java
//SOURCES files/Disk.java
//SOURCES files/FolderLock.java
//SOURCES files/LockOwner.java
//SOURCES files/Text.java
//SOURCES plan/Plan.java
//SOURCES plan/Step.java
//SOURCES postgres/CannotConnect.java
//SOURCES postgres/Database.java
//SOURCES postgres/DatabaseCopy.java
//SOURCES postgres/DatabaseSnapshot.java
//SOURCES postgres/Fingerprint.java
//SOURCES postgres/Grants.java
//SOURCES postgres/PgPrograms.java
//SOURCES postgres/Renames.java
//SOURCES postgres/RunLock.java
//SOURCES postgres/SchemaObject.java
//SOURCES postgres/SchemaObjects.java
//SOURCES postgres/Sessions.java
//SOURCES postgres/Sql.java
//SOURCES process/Interruption.java
//SOURCES process/Program.java
//SOURCES process/RunningProgram.java
//SOURCES process/Shell.java
//SOURCES project/Credentials.java
//SOURCES project/EnvFile.java
//SOURCES project/Git.java
//SOURCES project/Interpreter.java
//SOURCES project/Project.java
//SOURCES project/Route.java
//SOURCES project/Settings.java
//SOURCES reset/DropTables.java
//SOURCES reset/Findings.java
//SOURCES reset/Guards.java
//SOURCES reset/OrphanedState.java
//SOURCES reset/ParkTables.java
//SOURCES reset/Parking.java
//SOURCES reset/PlanPrinter.java
//SOURCES reset/PreviousState.java
//SOURCES reset/PutBackFiles.java
//SOURCES reset/ReplaceFiles.java
//SOURCES reset/Run.java
//SOURCES reset/Strategy.java
//SOURCES reset/SwapDatabase.java
//SOURCES restore/Restore.java
//SOURCES restore/VerifyServer.java
//FILES lib/django/boot.py=django/boot.py
//FILES lib/django/conversation.py=django/conversation.py
//FILES lib/django/describe.py=django/describe.py
//FILES lib/django/generate.py=django/generate.py
//FILES lib/django/migrate.py=django/migrate.py
//FILES lib/docker/exec.sh=docker/exec.sh
//FILES lib/docker/tunnel.sh=docker/tunnel.sh
//FILES lib/postgres/dropped_by_cascade.sql=postgres/dropped_by_cascade.sql
//FILES lib/postgres/fingerprint.sql=postgres/fingerprint.sql
//FILES lib/postgres/schema_objects.sql=postgres/schema_objects.sql
//FILES lib/postgres/tables.sql=postgres/tables.sql
package lib;

/** The list of the library's files and what they depend on; every script says {@code //SOURCES lib/Lib.java}. */
public final class Lib {
    /** The toolkit's version, the same for every script. */
    public static final String VERSION = "0.1.0";

    private Lib() {}
}
