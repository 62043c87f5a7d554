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
//SOURCES Age.java
//SOURCES Archive.java
//SOURCES Aside.java
//SOURCES Backup.java
//SOURCES BackupFile.java
//SOURCES BackupFolder.java
//SOURCES BackupOptions.java
//SOURCES BackupStatus.java
//SOURCES BackupText.java
//SOURCES Backups.java
//SOURCES Checkpoint.java
//SOURCES Child.java
//SOURCES Cli.java
//SOURCES CodePaths.java
//SOURCES Compose.java
//SOURCES ComposeConfig.java
//SOURCES Composer.java
//SOURCES Compression.java
//SOURCES Consent.java
//SOURCES Console.java
//SOURCES Containers.java
//SOURCES Contents.java
//SOURCES Credentials.java
//SOURCES Database.java
//SOURCES DatabaseCopy.java
//SOURCES Detection.java
//SOURCES Differences.java
//SOURCES Disk.java
//SOURCES Django.java
//SOURCES DropTables.java
//SOURCES EnvFile.java
//SOURCES Environment.java
//SOURCES Failure.java
//SOURCES Fall.java
//SOURCES Fingerprint.java
//SOURCES FolderLock.java
//SOURCES Found.java
//SOURCES Git.java
//SOURCES Grants.java
//SOURCES Guards.java
//SOURCES Holder.java
//SOURCES Inside.java
//SOURCES Interpreter.java
//SOURCES Interruption.java
//SOURCES DecryptionKey.java
//SOURCES Look.java
//SOURCES Manifest.java
//SOURCES Migrations.java
//SOURCES Migrator.java
//SOURCES OffSite.java
//SOURCES OldServer.java
//SOURCES ParkTables.java
//SOURCES Parking.java
//SOURCES PgFolders.java
//SOURCES PgPrograms.java
//SOURCES Ping.java
//SOURCES Plan.java
//SOURCES PlanText.java
//SOURCES Problem.java
//SOURCES Program.java
//SOURCES Project.java
//SOURCES Prune.java
//SOURCES PutBackFiles.java
//SOURCES Remote.java
//SOURCES Renames.java
//SOURCES ReplaceFiles.java
//SOURCES Restoration.java
//SOURCES Restore.java
//SOURCES RestoreCommand.java
//SOURCES Retention.java
//SOURCES Route.java
//SOURCES Run.java
//SOURCES SchemaObjects.java
//SOURCES Scrypt.java
//SOURCES ServerPrograms.java
//SOURCES ServerUser.java
//SOURCES Services.java
//SOURCES Sessions.java
//SOURCES SetAside.java
//SOURCES Settings.java
//SOURCES SqlScan.java
//SOURCES Step.java
//SOURCES Strategy.java
//SOURCES SwapDatabase.java
//SOURCES Tar.java
//SOURCES Text.java
//SOURCES ThrowawayServer.java
//SOURCES Tunnel.java
//SOURCES Where.java
//SOURCES XxHash64.java
//FILES django_driver.py
package lib;

/** The list of the library's files and what they depend on; every script says {@code //SOURCES lib/Lib.java}. */
public final class Lib {
    /** The toolkit's version, the same for every script. */
    public static final String VERSION = "0.1.0";

    private Lib() {}
}
